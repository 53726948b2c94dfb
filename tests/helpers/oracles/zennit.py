"""Helpers that the tests against zennit share."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import kerasexplain
from helpers import networks
from kerasexplain.rules import AlphaBeta, Epsilon, Gamma, Relative, WinnerTakesAll, ZPlus

TARGET = 2


#: Of max|R|. zennit's composites stabilize poolings and sums too, with 1e-6; ours are exactly proportional there.
TOLERANCE = {"float64": 1e-9, "float32": 2e-5}


COMPOSITE_TOLERANCE = 1e-4


#: zennit's own stabilizer, in every rule.
EPSILON = 1e-6


RULES: dict[str, dict[str, Any]] = {
    "rule_epsilon_1e-6": {"rule": Epsilon(EPSILON)},
    "rule_epsilon_0.25": {"rule": Epsilon(0.25)},
    "rule_gamma_0.25": {"rule": Gamma(0.25)},
    "rule_zplus": {"rule": AlphaBeta(1, 0)},
    "rule_zplus_nobias": {"rule": ZPlus()},
    "rule_alpha1_beta0": {"rule": AlphaBeta(1, 0)},
    "rule_alpha2_beta1": {"rule": AlphaBeta(2, 1)},
    "rule_alpha2_beta1_nobias": {"rule": AlphaBeta(2, 1, bias=False)},
    "rule_zbox_first_zplus": {"rule": AlphaBeta(1, 0), "input_layer_rule": (-1, 1)},
    "rule_wsquare_nobias_first_epsilon": {"rule": Epsilon(EPSILON), "input_layer_rule": "WSquare"},
    "rule_flat_first_epsilon": {"rule": Epsilon(EPSILON), "input_layer_rule": "Flat"},
}


COMPOSITES: dict[str, tuple[str, dict[str, Any]]] = {
    "comp_epsilon_plus": ("lrp.epsilon_plus", {}),
    "comp_epsilon_plus_flat": ("lrp.epsilon_plus_flat", {}),
    "comp_epsilon_alpha2_beta1": ("lrp.epsilon_alpha2_beta1", {}),
    "comp_epsilon_alpha2_beta1_flat": ("lrp.epsilon_alpha2_beta1_flat", {}),
    "comp_epsilon_gamma_box": ("lrp.epsilon_gamma_box", {"low": -1, "high": 1}),
    "comp_excitation_backprop": ("excitation_backprop", {}),
}


#: Nothing is divided in these: they agree to the tolerance of the rules.
SIGNALS: dict[str, tuple[str, dict[str, Any]]] = {
    "comp_guided_backprop": ("guided_backprop", {}),
    "comp_guided_backprop__onehot": ("guided_backprop", {"start": "one"}),
    "comp_deconvnet": ("deconvnet", {}),
    "comp_deconvnet__onehot": ("deconvnet", {"start": "one"}),
}


#: In `relative.npz`: zennit's stabilizers with `norm_scale=True`, and its softplus gradients.
RELATIVE: dict[str, tuple[str, dict[str, Any]]] = {
    "rule_epsilon_relative_0.25": ("lrp", {"rule": Epsilon(Relative(0.25))}),
    "rule_gamma_0.25_relative_0.1": ("lrp", {"rule": Gamma(0.25, stabilizer=Relative(0.1))}),
    "rule_alpha2_beta1_relative_0.1": ("lrp", {"rule": AlphaBeta(2, 1, stabilizer=Relative(0.1))}),
    "rule_zplus_nobias_relative_0.1": ("lrp", {"rule": "ZPlus", "stabilizer": Relative(0.1)}),
    "comp_beta_smooth_10__onehot": ("beta_smooth", {}),
    "comp_beta_smooth_1__onehot": ("beta_smooth", {"beta": 1}),
}


CAPTUM: dict[str, tuple[str, dict[str, Any], float]] = {
    "captum_lrp_epsilon_1e-9": ("lrp.epsilon", {"epsilon": 1e-9}, 1e-7),
    "captum_lrp_epsilon_0.25": ("lrp.epsilon", {"epsilon": 0.25}, 1e-7),
    # Captum's rule for max pooling does not reach a ReLU in front of it, which sees the pooling's plain gradient.
    "captum_deeplift_rescale_base0": ("deep_lift", {"maximum": WinnerTakesAll()}, 1e-6),
    "captum_ig64_gausslegendre_base0": ("integrated_gradients", {"steps": 64}, 1e-6),
}


#: What no test compares with, and why.
NOT_COMPARED = {
    r"torch__.*": "the weights once more, in PyTorch's layout",
    r"f(32|64)__logits_seen(__exactbn)?": "the logits as zennit's hooks saw them, while it explained",
    r".*__nocanon": "zennit without folding BatchNormalization: there the folding is what is tested",
    r"f(32|64)__zennit__rule_wsquare_first_epsilon(__exactbn)?": "zennit adds b^2 to the denominator; WSquare has none",
    r"f(32|64)__captum_lrp_gamma_0.25": "captum scales the bias otherwise and does not split signed inputs",
    r"f(32|64)__captum_lrp_alpha1_beta0(_nobias)?": "captum does not split signed inputs",
}


#: On bn_cnn only: keys without the suffix carry 1 / sqrt(1 + 1e-5) per folded BatchNormalization.
FOLDING_RESIDUE = r"f(32|64)__zennit__(rule|comp)_(?!.*__(exactbn|nocanon)$).*"


NETWORKS = tuple(networks.ZENNIT)


WITH_CAPTUM = ("mlp", "cnn20")


WITH_RELATIVE = ("mlp", "cnn20")


Setting = tuple[str, str, bool]


def settings(*with_xla: tuple[str, str]) -> Any:
    """Every network in every precision, and those given under XLA too."""
    given: list[Setting] = [(name, dtype, False) for name in NETWORKS for dtype in TOLERANCE]
    given += [(name, dtype, True) for name, dtype in with_xla]
    ids = [f"{name}-{dtype}{'-xla' if jit_compile else ''}" for name, dtype, jit_compile in given]
    return pytest.mark.parametrize(("name", "dtype", "jit_compile"), given, ids=ids)


# XLA takes several times longer to compile convolutions in float64 than in float32 on a CPU; and a composite is made
# of rules that have all been through it.
every_rule = settings(("mlp", "float64"), *((name, "float32") for name in NETWORKS))


every_composite = settings(("mlp", "float64"), ("bn_cnn", "float32"))


@functools.cache
def network(name: str, dtype: str) -> tuple[Any, dict[str, np.ndarray]]:
    return networks.zennit(name, dtype)


def reference_key(name: str, dtype: str, key: str) -> str:
    exact = "__exactbn" if name == "bn_cnn" else ""
    return f"f{dtype[-2:]}__zennit__{key}{exact}"


def check(name: str, dtype: str, key: str, tolerance: float, analyzer: str, **options: Any) -> None:
    if analyzer not in kerasexplain.analyzer_names():
        pytest.skip(f"the analyzer {analyzer!r} is not implemented yet")
    model, arrays = network(name, dtype)
    found = kerasexplain.create_analyzer(analyzer, model, **options).analyze(arrays["input"].astype(dtype), TARGET)
    expected = arrays[key]
    assert found.dtype == dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())
