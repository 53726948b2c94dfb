"""Tables that a `keras.utils.FeatureSpace` encodes: features and categories by name, text refused."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import Explanation, create_analyzer
from kerasexplain.feature_space import columns_of
from kerasexplain.features import features_of
from kerasexplain.foundation.errors import InputError
from kerasexplain.tensorboard.explanations import ExplanationLog

pytestmark = pytest.mark.tensorflow("which encodes the tables, on every backend")

TABLE: dict[str, Any] = {
    "age": np.array([20.0, 40, 60, 80], "float32"),
    "town": np.array(["Bonn", "Ulm", "Ulm", "Kiel"]),
    "room": np.array([2, 2, 2, 1], "int32"),
    "size": np.array([0.1, 0.4, 0.6, 0.9], "float32"),
}


def space(output_mode: str, **more: Any) -> Any:
    import tensorflow as tf

    kind = keras.utils.FeatureSpace
    features = {
        "town": kind.string_categorical(),
        "age": kind.float_normalized(),
        "room": kind.integer_categorical(num_oov_indices=0),
        "size": kind.float_discretized(num_bins=2),
    }
    found = kind(features, output_mode=output_mode, **more)
    found.adapt(tf.data.Dataset.from_tensor_slices(TABLE))
    return found


def encoded(of: Any) -> Any:
    return keras.tree.map_structure(np.asarray, of({name: values[:, None] for name, values in TABLE.items()}))


def explained(of: Any) -> tuple[Explanation, Any]:
    given = of.get_encoded_features()
    table = layers.Concatenate()(list(given.values())) if isinstance(given, dict) else given
    model = keras.Model(given, layers.Dense(1)(layers.Dense(4, activation="relu")(table)))
    x = encoded(of)
    return create_analyzer("lrp.epsilon", model).explain(x), x


@pytest.mark.parametrize("output_mode", ["concat", "dict"])
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_features_and_categories_have_their_names(output_mode: str) -> None:
    of = space(output_mode)
    found, x = explained(of)
    merged = features_of(found.relevance, x, of)
    assert merged.names == ("age", "room", "size", "town")
    labels = [[merged.label(sample, i) for i in (1, 2, 3)] for sample in range(4)]
    assert labels == [
        [f"room = {room}", f"size = {size}", f"town = {town}"]
        for room, size, town in zip(TABLE["room"], ["below 0.4"] + ["from 0.4"] * 3, TABLE["town"], strict=True)
    ]
    columns = features_of(found.relevance, x, of, summed=False)
    assert columns.names[:5] == ("age", "room[2]", "room[1]", "size[below 0.4]", "size[from 0.4]")
    assert columns.names[5:7] == ("town[unknown]", "town[Ulm]")
    whole = np.concatenate([np.reshape(part, (4, -1)) for part in keras.tree.flatten(found.relevance)], axis=1)
    np.testing.assert_allclose(columns.relevance, whole)
    np.testing.assert_allclose(merged.relevance[:, 1], whole[:, 1:3].sum(axis=1))


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_pictures_and_the_log_take_a_feature_space() -> None:
    pytest.importorskip("matplotlib")
    of = space("dict")
    found, x = explained(of)
    figure = found.to_figure(x, names=of, sample=3)
    (panel,) = figure.axes  # all features side by side
    assert {label.get_text().split(" = ")[0] for label in panel.get_yticklabels()} == {"age", "room", "size", "town"}
    assert "town = Kiel" in {label.get_text() for label in panel.get_yticklabels()}
    assert ExplanationLog(encoded(space("concat")), feature_names=space("concat"))._features["input"][1] == "room[2]"


def test_crosses_come_last_by_number() -> None:
    of = space("concat", crosses=[keras.utils.FeatureSpace.cross(("town", "room"), crossing_dim=3)])
    columns = columns_of(of)
    assert len(columns) == encoded(of).shape[1]
    assert columns[-3:] == [("town_X_room", f"bin {i}") for i in range(3)]


def test_a_model_from_the_text_on_is_refused_with_the_way_out() -> None:
    of = space("concat")
    model = keras.Model(of.get_inputs(), layers.Dense(1)(of.get_encoded_features()))
    analyzer = create_analyzer("lrp.epsilon", model)
    given = {name: values[:, None].astype(object if name == "town" else values.dtype) for name, values in TABLE.items()}
    with pytest.raises(InputError, match=r"input 'town' is text.*space\.get_encoded_features\(\)"):
        analyzer.analyze(given)


def test_a_feature_of_several_columns_has_as_many_names() -> None:
    import tensorflow as tf

    class Hour(layers.Layer):
        def call(self, x: Any) -> Any:
            return keras.ops.concatenate([keras.ops.sin(x), keras.ops.cos(x)], -1)

        def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
            return (shape[0], 2)

    kind = keras.utils.FeatureSpace
    hour = kind.feature(dtype="float32", preprocessor=Hour(), output_mode="float")
    of = kind({"hour": hour, "size": kind.float_normalized()}, output_mode="concat")
    of.adapt(tf.data.Dataset.from_tensor_slices({"hour": np.arange(8.0), "size": np.arange(8.0)}).batch(4))
    assert columns_of(of) == ["hour", "hour", "size"]
    assert features_of(np.ones((1, 3)), None, of).relevance.tolist() == [[2.0, 1.0]]
