"""The configuration of models that Keras 2 wrote, changed so that Keras 3 reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from kerasexplain.compat.functions import OF_KERAS_2, as_function_layer
from kerasexplain.foundation.errors import UnsupportedModelError

#: Of layers with two kernels, these said nothing.
_OF_ONE_KERNEL = {"kernel_initializer": ..., "kernel_regularizer": ..., "kernel_constraint": ...}
#: Arguments that have gone, by the class of the layer, with the value at which they did nothing: `...` is any.
_GONE: dict[str, dict[str, Any]] = {
    **{kind: {"time_major": False} for kind in ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM2D")},
    **{kind: {"groups": 1} for kind in ("DepthwiseConv1D", "DepthwiseConv2D")},
    **{kind: {"groups": 1, **_OF_ONE_KERNEL} for kind in ("SeparableConv1D", "SeparableConv2D")},
    **{f"Conv{n}DTranspose": {"groups": 1} for n in (1, 2, 3)},
    "BatchNormalization": {"renorm": False, "virtual_batch_size": None, "fused": ..., "adjustment": None},
}
_OF_CUDNN = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}


@dataclasses.dataclass
class Changes:
    """The changes that weights have to follow: names, and layers that were CuDNN's."""

    names: dict[str, str] = dataclasses.field(default_factory=dict)
    cudnn: dict[str, str] = dataclasses.field(default_factory=dict)


def upgraded(config: dict[str, Any]) -> Changes:
    """Changes a model's configuration in place.

    Raises:
        UnsupportedModelError: A layer does what it cannot do in Keras 3.
    """
    changes = Changes()
    if isinstance(config.get("config"), list):  # the layers of a Sequential model, in Keras before 2.2.3
        config["config"] = {"name": "sequential", "layers": config["config"]}
    names = [layer["config"].get("name") for _, layer in _layers(config, "")]
    changes.names = _without_slashes([name for name in names if isinstance(name, str)])
    _rename(config, changes.names)  # a name with a slash is none in Keras 3
    for outermost, layer in _layers(config, ""):
        kind, own = layer["class_name"], layer["config"]
        if outermost and "module" not in layer and hasattr(keras.layers, kind):
            # Within another layer it is found by its module, which Keras has written since 2.12.
            layer["module"], layer["registered_name"] = "keras.layers", None
        if own.get("output_shape_type") in ("lambda", "function", "raw") and kind == "Lambda":
            own["output_shape"] = None
        if kind in _OF_CUDNN:
            changes.cudnn[outermost or own["name"]] = kind
            layer["class_name"] = _OF_CUDNN[kind]
            own.update(activation="tanh", recurrent_activation="sigmoid")
            own.update({"reset_after": True} if kind == "CuDNNGRU" else {})
        elif kind == "ThresholdedReLU":
            layer["class_name"], own["threshold"] = "ReLU", own.pop("theta", 1.0)
        elif kind in OF_KERAS_2:
            as_function_layer(layer)
        for name, idle in _GONE.get(layer["class_name"], {}).items():
            if name in own:
                _check_idle(layer, name, own.pop(name), idle)
        if kind == "BatchNormalization" and isinstance(own.get("axis"), list) and len(own["axis"]) == 1:
            own["axis"] = own["axis"][0]
    return changes


def _without_slashes(names: list[str]) -> dict[str, str]:
    """Other names for those with a slash, which none has yet."""
    taken, found = set(names), {}
    for name in dict.fromkeys(names):
        if "/" in name:
            found[name] = name.replace("/", "_")
            while found[name] in taken:
                found[name] += "_"
            taken.add(found[name])
    return found


def classes_in(config: dict[str, Any]) -> set[str]:
    """The classes of the layers of a model."""
    return {layer["class_name"] for _, layer in _layers(config, "")}


def _rename(node: Any, names: Mapping[str, str]) -> None:
    """Renames layers wherever a configuration names them, in place."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(entries):
        if isinstance(value, str) and value in names:
            node[key] = names[value]
        _rename(value, names)


def _layers(node: Any, outermost: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The configurations of layers in another, with the name of the layer of the file that each is in."""
    if isinstance(node, list):
        for entry in node:
            yield from _layers(entry, outermost)
    if not isinstance(node, dict):
        return
    is_layer = isinstance(node.get("class_name"), str) and isinstance(node.get("config"), dict)
    if is_layer:
        yield outermost, node
    own = node.get("config", {}).get("name", "") if is_layer else ""
    is_model = is_layer and "layers" in node["config"]
    for value in node.values():
        yield from _layers(value, outermost if outermost or is_model else own)


def _check_idle(layer: dict[str, Any], name: str, value: Any, idle: Any) -> None:
    if idle is ... or value in (idle, None):
        return
    instead = "with sequences whose second axis is time" if name == "time_major" else "without it"
    raise UnsupportedModelError(
        f"the layer {layer['config'].get('name')!r} ({layer['class_name']}) has {name}={value!r}, which Keras 3 does "
        f"not have: build the model {instead}, and load the weights into it"
    )
