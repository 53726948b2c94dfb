"""Every operation of the table: three spellings of a layer, by keras.ops, by tf.* and as a Lambda, give one map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import create_analyzer

pytestmark = pytest.mark.tensorflow("translates TensorFlow's operations")
if keras.backend.backend() == "tensorflow":
    from helpers import translated
    from helpers.translated import OF_IMAGES, OF_VECTORS, OF_VOLUMES, Case

    from kerasexplain.trace.tensorflow import blocks, control, sizes
    from kerasexplain.trace.tensorflow.table import TABLE
else:
    OF_IMAGES = OF_VECTORS = OF_VOLUMES = []

#: Cases that are tried in one model: each gives one of its outputs.
GROUP = 12
GROUPS = [
    pytest.param(shape, cases[i : i + GROUP], id=f"{name}{i // GROUP}")
    for name, shape, cases in (
        ("vectors", (6,), OF_VECTORS),
        ("images", (8, 8, 4), OF_IMAGES),
        ("volumes", (4, 4, 4, 2), OF_VOLUMES),
    )
    for i in range(0, len(cases), GROUP)
]


def _model(shape: tuple[int, ...], made: Sequence[Any], dtype: str) -> keras.Model:
    """A model with an output for each of some layers."""
    inputs = keras.Input(shape, dtype=dtype)
    flat = [layers.Flatten(dtype=dtype)(layer(inputs)) for layer in made]
    sizes = [y.shape[-1] or int(np.prod(shape)) for y in flat]  # which Keras 3.12 does not know of each
    weights = [(1.0 + 0.1 * np.arange(size)).astype(dtype) for size in sizes]
    outputs = [keras.ops.sum(y * weight, axis=-1, keepdims=True) for y, weight in zip(flat, weights, strict=True)]
    return keras.Model(inputs, keras.ops.concatenate(outputs, axis=-1) if len(made) > 1 else outputs[0])


@pytest.mark.parametrize(("shape", "cases"), GROUPS)
def test_three_spellings_give_one_map(shape: tuple[int, ...], cases: Sequence[Case]) -> None:
    # TensorFlow pools no volumes in double precision, and some operations have none: what resizes, say.
    dtype, tolerance = ("float32", 2e-5) if len(shape) == 4 else ("float64", 2e-7)
    spelt = {
        "keras.ops": [translated.layer(case.keras, dtype) for case in cases],
        "tf": [translated.layer(case.tf, dtype) for case in cases],
        "Lambda": [layers.Lambda(case.tf, dtype=dtype) for case in cases],
    }
    one = np.random.default_rng(0).normal(size=(1, *shape))
    x, targets = np.repeat(one, len(cases), axis=0), np.arange(len(cases))
    maps = {}
    for name, made in spelt.items():
        analyzer = create_analyzer("lrp.epsilon", _model(shape, made, dtype), on_unsupported="gradient")
        assert not [node for node in analyzer.graph.unopened if node.type in ("Of", "Lambda")]
        maps[name] = analyzer.analyze(x, targets)
    for i, case in enumerate(cases):
        assert set(case.types) <= translated.types_of(case.tf, shape, dtype) | {"Identity"}, case.types
        scale = np.abs(maps["keras.ops"][i]).max()
        assert scale > 0, case.types
        for name in ("tf", "Lambda"):
            np.testing.assert_allclose(
                maps[name][i], maps["keras.ops"][i], atol=tolerance * scale, err_msg=f"{case.types}"
            )


def test_every_operation_is_tried() -> None:
    tried = {kind for case in (*OF_VECTORS, *OF_IMAGES, *OF_VOLUMES) for kind in case.types}
    assert {*TABLE, *blocks.TABLE, *control.TABLE, *sizes.TABLE} <= tried | set(translated.MISSING)
