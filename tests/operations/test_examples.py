"""Every layer of `keras.layers` and every function of `keras.ops`, one by one: the twin gives what it gives, and its
relevance adds up, or it is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from helpers.operations.examples import EXAMPLES, Example

import kerasexplain
from kerasexplain import UnsupportedModelError

EXISTING = [example for example in EXAMPLES if example.exists]
BY_TENSORFLOW = dict.fromkeys(
    ("layers.Hashing", "layers.Hashing (one hot)", "layers.Hashing (multi hot)", "layers.IntegerLookup"),
    "the layer runs by TensorFlow alone",
)
#: What Keras (3.15) itself does not run on the backend at hand, as part of a model, and why.
NOT_HERE = {
    "tensorflow": {},
    "jax": {
        **dict.fromkeys(("ops.quantile", "ops.norm"), "it hands a list of axes to a function that takes none"),
        **BY_TENSORFLOW,
    },
    "torch": {
        **dict.fromkeys(
            ("layers.Resizing (lanczos5)", "ops.image.resize (lanczos3)"), "it knows no Lanczos interpolation"
        ),
        "ops.cross": "it may take the batch for the vectors, and is refused (backend/test_torch.py)",
        "ops.average": "it has weights belong to the last axis, whatever the axis is",
        "layers.LayerNormalization (axis=2)": "it takes the last axes for those of the layer",
        "layers.EinsumDense (int8)": "it runs on no symbolic tensors, and is refused (backend/test_torch.py)",
        **BY_TENSORFLOW,
    },
}[keras.backend.backend()]


@pytest.fixture
def example(request: pytest.FixtureRequest) -> Iterator[Example]:
    """The example, with Keras in its precision."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(request.param.dtype)
    keras.config.set_dtype_policy(request.param.dtype)
    yield request.param
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def some(*, refused: bool) -> pytest.MarkDecorator:
    chosen = [example for example in EXISTING if bool(example.refused) == refused]
    given = [
        pytest.param(example, marks=pytest.mark.skip(reason=NOT_HERE[example.name]))
        if example.name in NOT_HERE
        else example
        for example in chosen
    ]
    return pytest.mark.parametrize("example", given, ids=[example.name for example in chosen], indirect=True)


@some(refused=False)
def test_the_twin_gives_the_output_and_relevance_adds_up_to_it(example: Example) -> None:
    model, x = example.model(), example.inputs()
    analyzer = kerasexplain.create_analyzer(
        "lrp.bias_as_input", model, neuron_selection_mode="all", explain="activation"
    )
    assert "unsupported" not in str(analyzer)
    tolerance = 1e-9 if example.dtype == "float64" else 3e-5
    np.testing.assert_allclose(analyzer.twin(x), model(x, training=False), rtol=tolerance, atol=tolerance)
    audit = analyzer.audit(x)
    np.testing.assert_allclose(audit.inputs + audit.biases, audit.explained, rtol=tolerance, atol=tolerance)


@some(refused=True)
def test_what_is_refused_says_why(example: Example) -> None:
    with pytest.raises(UnsupportedModelError, match=example.refused):
        kerasexplain.create_analyzer("lrp.bias_as_input", example.model(), explain="activation")
