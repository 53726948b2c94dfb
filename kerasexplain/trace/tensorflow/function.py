"""Tracing the code of a layer by TensorFlow, and running the graph on symbolic tensors of Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasexplain.foundation.errors import plain
from kerasexplain.trace.recorder import Recorder, UntraceableError
from kerasexplain.trace.tensorflow.calls import CallsOfLayers
from kerasexplain.trace.tensorflow.interpreter import Interpreter
from kerasexplain.trace.tensorflow.names import Names
from kerasexplain.trace.tensorflow.values import Handle, UntranslatableError, Weight
from kerasexplain.trace.weights import computed_once


def by_tensorflow(recorder: Recorder, layer: Any, code: Callable[..., Any]) -> Callable[..., Any]:
    """A function of symbolic tensors that does what a layer's code does, which runs on TensorFlow's tensors alone.

    Args:
        recorder: Writes down what is called.
        layer: The layer.
        code: Its `call`.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        leaves = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, keras.KerasTensor)]
        symbolic = list({id(leaf): leaf for leaf in leaves}.values())
        graph, calls, result = _traced(code, args, kwargs, symbolic)
        outputs = [leaf for leaf in keras.tree.flatten(result) if isinstance(leaf, tf.Tensor)]
        wanted = [_in(graph, output) for output in outputs]  # which may capture another
        captured = _captured(graph, layer)
        names = Names(
            value.variable.name for value in captured if isinstance(value, Handle) and value.variable is not None
        )
        interpreter = Interpreter(recorder, symbolic, calls, names)
        with computed_once():  # what is computed here is none of what a run around this trace may use
            found = interpreter.run(graph, [*symbolic, *captured], wanted)
            found = [interpreter.materialized(value) for value in found]
        values = {id(tensor): value for tensor, value in zip(outputs, found, strict=True)}
        return keras.tree.map_structure(
            lambda leaf: _as_output(values[id(leaf)]) if id(leaf) in values else leaf, result
        )

    return run


def _traced(
    code: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], symbolic: list[Any]
) -> tuple[Any, CallsOfLayers, Any]:
    """The graph of code, the calls of layers in it, and what it gives, with the graph's tensors."""
    specs = [tf.TensorSpec(leaf.shape, leaf.dtype) for leaf in symbolic]

    def trace(autograph: bool) -> tuple[Any, CallsOfLayers, Any]:
        calls, result = CallsOfLayers(), []

        def traced(*tensors: Any) -> Any:
            known = {id(leaf): tensor for leaf, tensor in zip(symbolic, tensors, strict=True)}
            filled = keras.tree.map_structure(lambda leaf: known.get(id(leaf), leaf), (args, kwargs))
            with calls.noted():
                # In a function of its own: only the user's code may have Python's control flow on tensors.
                outputs = tf.function(code, autograph=autograph)(*filled[0], **filled[1])
            result.append(keras.tree.map_structure(_as_tensor, outputs))
            return [leaf for leaf in keras.tree.flatten(result[-1]) if isinstance(leaf, tf.Tensor)]

        graph = tf.function(traced, autograph=False).get_concrete_function(*specs).graph
        return graph, calls, result[-1]

    eagerly = tf.config.functions_run_eagerly()
    try:
        try:
            # Functions of the user's that were traced before are run again, so that the calls of layers in them show.
            tf.config.run_functions_eagerly(True)
            return trace(autograph=False)
        except Exception:
            tf.config.run_functions_eagerly(False)
        try:
            return trace(autograph=False)
        except tf.errors.OperatorNotAllowedInGraphError:
            return trace(autograph=True)  # it reads the sources, and warns where it finds none
    except Exception as error:
        raise UntraceableError(f"TensorFlow cannot trace its code ({type(error).__name__}: {plain(error)})") from error
    finally:
        tf.config.run_functions_eagerly(eagerly)


def _as_tensor(leaf: Any) -> Any:
    return tf.convert_to_tensor(leaf) if isinstance(leaf, (tf.Variable, keras.Variable)) else leaf


def _as_output(value: Any) -> Any:
    return value.value() if isinstance(value, Weight) else value


def _in(graph: Any, tensor: Any) -> Any:
    """The tensor of the graph that a function returned: the one that was captured, for one from outside of it."""
    if getattr(tensor, "graph", None) is graph:
        return tensor
    return graph.capture(tensor)


def _captured(graph: Any, layer: Any) -> list[Any]:
    """The values of what the graph captured: variables live, everything else as it is."""
    by_handle = {id(variable.handle): variable for variable in graph.variables}
    for variable in getattr(layer, "variables", ()):
        value = variable.value
        if isinstance(value, tf.Variable):
            by_handle.setdefault(id(value.handle), value)
    found: list[Any] = []
    for outside, _ in graph.captures:
        if outside.dtype == tf.resource:
            found.append(Handle(outside, by_handle.get(id(outside))))
        elif hasattr(outside, "numpy"):
            found.append(np.asarray(outside))
        else:
            raise UntranslatableError("its code reads a tensor of another trace")
    return found
