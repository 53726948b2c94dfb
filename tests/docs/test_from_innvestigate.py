"""Code written for iNNvestigate runs: its names and options are legal here, and the page about it names them all."""

from __future__ import annotations

import pathlib
import re
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from helpers.scripts import script

import kerasexplain

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "from-innvestigate.md"
EXAMPLE = ROOT / "examples" / "innvestigate_readme.py"

LRP: list[dict[str, Any]] = [
    {"input_layer_rule": "Flat"},
    {"input_layer_rule": (-1.0, 1.0)},
    {"until_layer_idx": 2, "until_layer_rule": "Flat"},
]
POSTPROCESS: list[dict[str, Any]] = [{"postprocess": choice} for choice in (None, "abs", "square")]
PRESET: list[dict[str, Any]] = [{}, {"epsilon": 0.1}]
#: Every analyzer of iNNvestigate 2.1.2, with the options that its documentation has.
ANALYZERS: dict[str, list[dict[str, Any]]] = {
    "input": [{}],
    "random": [{}, {"stddev": 0.5}],
    "gradient": POSTPROCESS,
    "gradient.baseline": POSTPROCESS,
    "input_t_gradient": [{}],
    "deconvnet": [{}],
    "guided_backprop": [{}],
    "integrated_gradients": [
        *({"steps": 3, **options} for options in POSTPROCESS),
        *(
            {"steps": 3, "reference_inputs": given}
            for given in (0, 0.5, np.ones((1, 6, 6, 2)), [np.ones((1, 6, 6, 2))])
        ),
    ],
    "smoothgrad": [*({"augment_by_n": 3, **options} for options in POSTPROCESS), {"augment_by_n": 3, "noise_scale": 1}],
    "lrp": [
        *({"rule": rule} for rule in ("Z", "Epsilon", "WSquare", "Flat", "Alpha2Beta1", "Alpha1Beta0")),
        *({"rule": rule} for rule in ("ZPlus", "ZPlusFast")),
        {"rule": [(lambda _: True, "Z")]},
        *({"rule": "Z", **options} for options in LRP),
    ],
    "lrp.z": [{}, *LRP],
    "lrp.epsilon": [{}, {"epsilon": 0.1}, {"bias": False}, *LRP],
    "lrp.w_square": [{}, *LRP],
    "lrp.flat": [{}, *LRP],
    "lrp.alpha_beta": [{"alpha": 2}, {"beta": 1}, {"alpha": 1.5, "beta": 0.5}, {"alpha": 2, "beta": 1, "bias": False}],
    "lrp.alpha_2_beta_1": [{}, *LRP],
    "lrp.alpha_2_beta_1_IB": [{}, *LRP],
    "lrp.alpha_1_beta_0": [{}, *LRP],
    "lrp.alpha_1_beta_0_IB": [{}, *LRP],
    "lrp.z_plus": [{}, *LRP],
    "lrp.z_plus_fast": [{}, *LRP],
    "lrp.sequential_preset_a": [*PRESET, *LRP],
    "lrp.sequential_preset_b": [*PRESET, *LRP],
    "lrp.sequential_preset_a_flat": PRESET,
    "lrp.sequential_preset_b_flat": PRESET,
    "lrp.sequential_preset_b_flat_until_idx": [{"until_layer_idx": 1}, {"until_layer_idx": 1, "epsilon": 0.1}],
    "deep_taylor": [{}],
    "deep_taylor.bounded": [{"low": -1, "high": 1}],
}
#: Those that iNNvestigate 1.0.9 had besides.
OLD_ANALYZERS: dict[str, list[dict[str, Any]]] = {
    "lrp.z_IB": [{}, *LRP],
    "lrp.epsilon_IB": [{}, {"epsilon": 0.1}, *LRP],
    "pattern.net": [{}, {"pattern_type": "relu"}, {"pattern_type": "linear"}],
    "pattern.attribution": [{}, {"pattern_type": "relu"}, {"pattern_type": "linear"}],
}
RENAMED = {"deep_lift.wrapper": "deep_lift"}
#: Options without a counterpart, which the page tells to delete.
GONE = ("disable_model_checks", "allow_lambda_layers", "bn_layer_rule", "bn_layer_fuse_mode", "reverse_verbose")
MODES = {"max_activation": None, "index": [2, 0, 1], "all": None}


def label(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(value) or "-"


def small_network() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(3, 3, activation="relu", bias_initializer="random_normal"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="relu", bias_initializer="random_normal"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return small_network()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (3, 6, 6, 2)).astype("float32")


@pytest.mark.formula
@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name, choices in {**ANALYZERS, **OLD_ANALYZERS}.items() for options in choices],
    ids=label,
)
def test_names_and_options_are_legal(
    name: str, options: dict[str, Any], network: keras.Model, images: np.ndarray
) -> None:
    analyzer = kerasexplain.create_analyzer(name, network, **options)
    if name.startswith("pattern."):
        analyzer.fit(images, batch_size=32, verbose=0)
    analysis = analyzer.analyze(images)
    assert analysis.shape == images.shape
    assert np.isfinite(analysis).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["gradient", "lrp.epsilon", "integrated_gradients", "smoothgrad"])
def test_neurons_are_selected_as_there(name: str, mode: str, network: keras.Model, images: np.ndarray) -> None:
    analyzer = kerasexplain.create_analyzer(name, network, neuron_selection_mode=mode)
    neurons = MODES[mode]
    analysis = analyzer.analyze(images) if neurons is None else analyzer.analyze(images, neurons)
    assert analysis.shape == images.shape


def test_one_index_is_for_all_samples_of_any_analyzer(network: keras.Model, images: np.ndarray) -> None:
    """iNNvestigate explains the first sample alone in these two, and gives zeros for the others."""
    for name in ("integrated_gradients", "smoothgrad"):
        analyzer = kerasexplain.create_analyzer(name, network, neuron_selection_mode="index")
        np.testing.assert_array_equal(analyzer.analyze(images, 1), analyzer.analyze(images, [1, 1, 1]))


def test_an_analyzer_changes_nothing_for_those_that_follow(network: keras.Model, images: np.ndarray) -> None:
    """In iNNvestigate the first layer is lost sight of after one of these two has been run."""

    def bounded() -> np.ndarray:
        return kerasexplain.create_analyzer("deep_taylor.bounded", network, low=-1, high=1).analyze(images)

    before = bounded()
    for name in ("integrated_gradients", "smoothgrad"):
        kerasexplain.create_analyzer(name, network).analyze(images)
    np.testing.assert_array_equal(bounded(), before)


@pytest.mark.parametrize("option", GONE)
def test_options_without_a_counterpart_are_refused(option: str, network: keras.Model) -> None:
    with pytest.raises(ValueError, match=option):
        kerasexplain.create_analyzer("lrp.z", network, **{option: True})
    assert f"`{option}`" in PAGE.read_text(encoding="utf-8")


def test_the_page_has_a_row_for_every_analyzer_in_this_order() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \|.*\|.*\|.*\|$", PAGE.read_text(encoding="utf-8"), re.M)
    expected = [*ANALYZERS, "lrp.z_IB", "lrp.epsilon_IB", *RENAMED, "pattern.net", "pattern.attribution"]
    assert rows == expected


def test_analyzers_that_the_page_speaks_of_exist() -> None:
    known = kerasexplain.analyzer_names()
    told = set(re.findall(r"`((?:lrp|pattern|deep_taylor)\.\w+)`", PAGE.read_text(encoding="utf-8")))
    assert {*told, *ANALYZERS, *RENAMED.values()} <= set(known)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    return script("examples/innvestigate_readme.py")


def test_the_example_uses_names_and_options_of_innvestigate_alone(example: ModuleType) -> None:
    for name, options in example.ANALYZERS.items():
        assert set(options) <= {option for choice in ANALYZERS[name] for option in choice}, name
    used = set(re.findall(r"innvestigate\.(\w+)", EXAMPLE.read_text(encoding="utf-8")))
    assert used <= {"create_analyzer", "model_wo_softmax"}


@pytest.mark.slow("trains a network")
def test_the_example_runs(example: ModuleType, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    example.main(["--epochs", "12", "-o", str(tmp_path / "digits.png")])
    read = re.search(r"read: ([\d ]+)", capsys.readouterr().out)
    assert read is not None
    assert sum(int(digit) == index for index, digit in enumerate(read[1].split())) >= 9
    with Image.open(tmp_path / "digits.png") as image:
        assert image.height >= 100 * len(example.ANALYZERS)


def test_maps_are_normalized_each_on_its_own(example: ModuleType) -> None:
    a = np.array([[[[1.0, 1.0]], [[-4.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
    np.testing.assert_array_equal(example.normalized(a), [[[0.5], [-1.0]], [[0.0], [0.0]]])
