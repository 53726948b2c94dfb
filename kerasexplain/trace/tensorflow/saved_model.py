"""SavedModels as Keras models: a signature of one, over the variables that were loaded."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from kerasexplain.foundation.errors import UnsupportedModelError, nearest


class SavedModel(keras.Model):
    """A signature of a SavedModel, over the variables that were loaded.

    Args:
        function: The signature: a function of named tensors, which gives a dict of them.
        holder: What was loaded, which keeps tables and variables alive.
        inputs: Its inputs, as symbolic tensors.
        by_position: The names of its inputs in order, where the function takes them by position.
    """

    def __init__(self, function: Any, holder: Any, inputs: dict[str, Any], by_position: tuple[str, ...] = ()) -> None:
        super().__init__(name="saved_model", autocast=False)
        # Inputs in a dict are sorted, wherever Keras goes through them.
        self.function, self._holder, self._given = function, [holder], dict(sorted(inputs.items()))
        self._by_position = by_position
        for variable in _variables(function, holder):
            # The same variable, under Keras' name for one: it stays live.
            kept = keras.Variable(
                initializer=variable,
                trainable=variable.trainable,
                dtype=variable.dtype.name,
                name=variable.name.split(":")[0].replace("/", "_"),
            )
            assert kept.value is variable
            self._track_variable(kept)
        self.built = True

    @property
    def takes_names(self) -> bool:
        """Whether it has several inputs, which have names and no order."""
        return len(self._given) > 1

    @property
    def inputs(self) -> list[Any]:
        """The inputs, as symbolic tensors."""
        return list(self._given.values())

    @property
    def _inputs_struct(self) -> Any:
        return dict(self._given) if self.takes_names else next(iter(self._given.values()))

    def call(self, inputs: Any) -> Any:
        given = inputs if isinstance(inputs, dict) else dict(zip(self._given, keras.tree.flatten(inputs), strict=True))
        # As Keras casts what its layers are given.
        given = {name: keras.ops.cast(x, self._given[name].dtype) for name, x in given.items()}
        positional = [given[name] for name in self._by_position]
        outputs = self.function(*positional) if positional else self.function(**given)
        flat = tf.nest.flatten(outputs)
        return outputs if len(flat) > 1 else flat[0]


def _variables(function: Any, holder: Any) -> list[Any]:
    """The variables that a function reads, and those of what holds it, each once."""
    found = {id(variable): variable for variable in function.graph.variables}
    found |= {id(variable): variable for variable in function.variables}
    read = {id(handle) for handle in function.captured_inputs}
    held = getattr(holder, "variables", None) or ()
    found |= {id(variable): variable for variable in held if id(variable.handle) in read}
    return list(found.values())


def as_model(loaded: Any, signature: str | None = None) -> keras.Model:
    """A signature of a SavedModel as a Keras model over the variables that were loaded.

    Args:
        loaded: What `tf.saved_model.load` gave, or one of its signatures.
        signature: Which; by default "serving_default", or the only one.

    Raises:
        ValueError: There is no such signature.
        UnsupportedModelError: Its inputs cannot be those of a Keras model.
    """
    function = _signature(loaded, signature)
    named = _named_inputs(function)
    by_position: tuple[str, ...] = ()
    if not named:
        own = function.inputs[: len(function.inputs) - len(function.captured_inputs)]
        named = {x.name.split(":")[0].replace("/", "_"): tf.TensorSpec(x.shape, x.dtype) for x in own}
        by_position = tuple(named)
    if not named:
        raise UnsupportedModelError("the signature takes no tensors")
    inputs = {}
    for name, spec in named.items():
        if spec.shape.rank is None or not spec.shape.rank:
            raise UnsupportedModelError(
                f"the input {name!r} of the signature has no axis for samples (its shape is {spec.shape}): export it "
                "with one"
            )
        inputs[name] = keras.KerasTensor(tuple(spec.shape), spec.dtype.name, name=name)
    return SavedModel(function, loaded, inputs, by_position)


def _named_inputs(function: Any) -> dict[str, Any]:
    """The inputs of a function that takes all of them by name; empty for another."""
    signature = function.structured_input_signature
    positional, named = signature if signature is not None else ((), {})
    tensors = all(isinstance(spec, tf.TensorSpec) for spec in named.values())
    return dict(named) if named and not positional and tensors else {}


def _signature(loaded: Any, signature: str | None) -> Any:
    if isinstance(loaded, tf.types.experimental.ConcreteFunction) or hasattr(loaded, "captured_inputs"):
        return loaded
    if type(loaded).__module__.split(".")[0] == "tf_keras" or hasattr(loaded, "_is_graph_network"):
        return _of_old_model(loaded)
    if not hasattr(loaded, "signatures"):
        raise TypeError(f"{type(loaded).__name__} is no SavedModel")
    known = list(loaded.signatures)
    if not known:
        raise UnsupportedModelError(
            "the SavedModel has no signatures: save it by model.export, or by tf.saved_model.save with signatures="
        )
    name = signature or ("serving_default" if "serving_default" in known or len(known) > 1 else known[0])
    if name not in known:
        raise ValueError(f"the SavedModel has no signature {name!r}.{nearest(name, known)}")
    return loaded.signatures[name]


def _of_old_model(model: Any) -> Any:
    """A model of `tf_keras` as a function of named tensors."""
    if not getattr(model, "inputs", None):
        raise UnsupportedModelError("the model of tf_keras has not been built: call it once")
    names = list(model.input_names)
    specs = {name: tf.TensorSpec(x.shape, x.dtype, name=name) for name, x in zip(names, model.inputs, strict=True)}

    def run(**given: Any) -> dict[str, Any]:
        outputs = tf.nest.flatten(model([given[name] for name in names] if len(names) > 1 else given[names[0]]))
        return dict(zip(model.output_names, outputs, strict=True))

    return tf.function(run).get_concrete_function(**specs)
