"""On trained networks: what inputs and biases hold adds up to the logit, and the twin predicts what the model does."""

from __future__ import annotations

import pathlib
from types import ModuleType

import keras
import numpy as np
import pytest

import kerasexplain

NETWORKS = (
    *("mnist_lenet5_toolbox", "cifar10_resnet8", "mnist_deep_convnet"),
    pytest.param("imagenet_mobilenetv2_224", marks=pytest.mark.slow("a large network in double precision")),
)


@pytest.fixture(scope="module", params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> str:
    return request.param


def inputs_of(name: str, reference: pathlib.Path) -> np.ndarray:
    """Real inputs, prepared as the network wants them."""
    if name == "mnist_lenet5_toolbox":
        return np.load(reference / "oracles" / "toolbox" / f"{name}.npz")["input"]
    if name == "mnist_deep_convnet":
        digits = np.load(reference / "nets" / "mnist_test1000.npz")
        images = next(digits[key] for key in digits.files if digits[key].ndim == 3)
        return images[:8, :, :, None] / 255.0
    photos = np.load(reference / "nets" / "photos256.npz")
    images = np.stack([photos[key] for key in photos.files[:2]]).astype("float64")
    if name == "cifar10_resnet8":
        return images[:, ::8, ::8]
    return images[:, 16:240, 16:240] / 127.5 - 1.0


@pytest.mark.parametrize("name", NETWORKS)
def test_inputs_and_biases_add_up_to_the_logit(
    name: str, dtype: str, reference_networks: ModuleType, reference_data: pathlib.Path
) -> None:
    model, _ = reference_networks.build(name, dtype)
    x = inputs_of(name, reference_data).astype(dtype)
    explanation = kerasexplain.create_analyzer("lrp.bias_as_input", model).explain(x, bias=True)

    parts = [explanation.relevance, *explanation.bias.values()]
    flat = np.concatenate([part.reshape(len(x), -1).astype("float64") for part in parts], axis=1)
    error = np.abs(flat.sum(axis=1) - explanation.explained)
    if dtype == "float64":
        assert np.all(error <= 1e-10 * np.abs(explanation.explained))
    else:
        assert np.all(error <= 1e-5 * np.abs(flat).sum(axis=1))

    logits = keras.ops.convert_to_numpy(model(x, training=False))
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(explanation.output, logits, rtol=0, atol=tolerance * np.abs(logits).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_audit_of_every_preset_closes(
    name: str, reference_networks: ModuleType, reference_data: pathlib.Path
) -> None:
    model, _ = reference_networks.build(name, "float64")
    x = inputs_of(name, reference_data)[:1]
    for method in ("lrp.epsilon_plus", "lrp.epsilon_alpha2_beta1_flat", "lrp.z"):
        audit = kerasexplain.create_analyzer(method, model).audit(x)
        np.testing.assert_allclose(audit.inputs + audit.biases + audit.lost, audit.explained, rtol=1e-9)
