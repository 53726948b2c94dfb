"""Patterns: what in the input of a unit goes with its output, fitted to data.

The weights of a unit also cancel what disturbs it, so they do not show what it looks for; its pattern does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from kerasexplain.backend import Compiled, compiled, in_doubles, transposed
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.graph import Graph, Node, Value
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.primitives import Routing
from kerasexplain.runtime.fitting import Fitting

if TYPE_CHECKING:
    from kerasexplain.compiler.pipeline import Pipeline

Tensor = Any


def fit(fitting: Fitting, pattern_type: str) -> dict[str, np.ndarray]:
    """The pattern of every operation with a kernel, by its name, shaped like the kernel.

    With z = x W + b, a mean E over all samples and positions, and E+ over those where z > 0,

    - "linear": `a = cov[x, z] / (w^T cov[x, z])` with `cov[x, z] = E[x z] - E[x] E[z]`;
    - "relu": `a = c / (w^T c)` with `c = E+[x z] - E+[x] E[z]`, for operations with a ReLU behind them; the others are
      linear.

    Of a convolution with zero padding each entry of the kernel counts the positions where it sees a real input. A unit
    that is never positive gets no pattern: zeros.

    Args:
        fitting: The data.
        pattern_type: "linear" or "relu".

    Raises:
        ValueError: The data leave an operation without any pattern.
    """
    sums: dict[str, list[np.ndarray]] = {}
    functions: dict[Pipeline, Compiled] = {}
    for batch in fitting:
        pipeline = fitting.pipelines.of(batch)
        with in_doubles():
            if pipeline not in functions:
                functions[pipeline] = _statistics(pipeline, pattern_type)
            found = functions[pipeline](batch)
        for name, parts in found.items():
            known = sums.get(name, [np.zeros(())] * len(parts))
            sums[name] = [total + part for total, part in zip(known, parts, strict=True)]
    nodes = {node.name: node for node in _kernels(fitting.pipelines.first)}
    with in_doubles():
        patterns = {name: _pattern(nodes[name], *parts) for name, parts in sums.items()}
    empty = [name for name, pattern in patterns.items() if not pattern.any()]
    if empty:
        raise ValueError(
            f"the data give no pattern for {', '.join(empty)}: nothing varies there, or no unit is ever positive; fit "
            "to more data"
        )
    return patterns


def _kernels(pipeline: Pipeline) -> list[Node]:
    return [row.node for row in pipeline.rows if isinstance(row.node.primitive, Linear)]


def _statistics(pipeline: Pipeline, pattern_type: str) -> Compiled:
    """Sums over a batch by operation, shaped like its kernel: how many counted, x, and x z where they count; how many
    there are, and z."""
    execution, graph = pipeline.twin.execution, pipeline.graph
    rectified = {node: pattern_type == "relu" and _is_rectified(node, graph) for node in _kernels(pipeline)}

    def function(inputs: list[Tensor]) -> dict[str, list[Tensor]]:
        values = execution.run(inputs)
        return {
            node.name: _sums(node.primitive, values[node.inputs[0]], values[node.outputs[0]], only_positive)
            for node, only_positive in rectified.items()
        }

    return compiled(function, False, execution.signature)


def _sums(linear: Any, x: Tensor, z: Tensor, only_positive: bool) -> list[Tensor]:
    # In double precision: a covariance is a small difference of large sums.
    x, z = ops.cast(x, "float64"), ops.cast(z, "float64")
    kernel, one = ops.cast(linear.kernel(), "float64"), ops.ones_like(z)
    counts = ops.cast(z > 0, "float64") if only_positive else one

    def per_entry(x: Tensor, s: Tensor) -> Tensor:
        """The sum over samples and positions of what an entry of the kernel reads, times what it writes to."""
        return transposed(lambda kernel: linear.apply(x, kernel), kernel, s)

    at_all = ops.ones_like(x)
    return [
        per_entry(at_all, counts),
        per_entry(x, counts),
        per_entry(x, counts * z),
        per_entry(at_all, one),
        per_entry(at_all, z),
    ]


def _is_rectified(node: Node, graph: Graph) -> bool:
    consumers = graph.consumers()

    def rectified(value: Value) -> bool:
        readers = consumers[value]
        return bool(readers) and all(map(rectifies, readers))

    def rectifies(reader: Node) -> bool:
        if isinstance(reader.primitive, Routing) and len(reader.inputs) == 1:  # a Dropout, a Reshape
            return rectified(reader.outputs[0])
        return isinstance(reader.primitive, Elementwise) and reader.primitive.is_relu

    return rectified(node.outputs[0])


def _pattern(
    node: Node, count: np.ndarray, x: np.ndarray, xz: np.ndarray, everywhere: np.ndarray, z: np.ndarray
) -> np.ndarray:
    linear = node.primitive
    assert isinstance(linear, Linear)
    covariance = _quotient(xz, count) - _quotient(x, count) * _quotient(z, everywhere)
    kernel = ops.convert_to_numpy(linear.kernel()).astype("float64")
    return _quotient(covariance, _per_unit(node, linear, kernel * covariance))


def _per_unit(node: Node, linear: Linear, entries: np.ndarray) -> np.ndarray:
    """The sum over all entries of a kernel that write to the same unit, at each of them."""
    entries = ops.convert_to_tensor(entries)
    one = ops.ones_like(entries)
    if linear.scaled is not None and "Conv" in type(node.operation).__name__:
        scaled, channels = linear.scaled, node.outputs[0].shape[_channel_axis(node)]
        factors = ops.ones((channels,), dtype="float64")
        of_units = transposed(lambda factors: scaled(entries, factors), factors, one)
        return ops.convert_to_numpy(scaled(one, of_units))
    # Without padding, all positions are alike: what ones at the input give is the sum.
    x = ops.ones((1, *(size or 1 for size in node.inputs[0].shape[1:])), dtype="float64")
    total = linear.apply(x, entries)
    spread = transposed(lambda kernel: linear.apply(x, kernel), entries, total)
    positions = transposed(lambda kernel: linear.apply(x, kernel), entries, ops.ones_like(total))
    return ops.convert_to_numpy(spread / positions)


def _channel_axis(convolution: Node) -> int:
    data_format = convolution.operation.data_format or keras.config.image_data_format()
    return 1 if data_format == "channels_first" else -1


def _quotient(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    return np.divide(n, d, out=np.zeros_like(n), where=d != 0)
