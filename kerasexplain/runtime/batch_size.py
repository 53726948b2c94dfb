"""The batch size: as asked for, or as memory allows, and less when memory runs out."""

from __future__ import annotations

import contextlib
import math
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasexplain import backend
from kerasexplain.compiler.pipeline import Pipelines
from kerasexplain.foundation.checks import check_batch_size
from kerasexplain.graph.graph import Graph
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.runtime.inputs import check_shapes

#: More samples at once make nothing quicker.
MOST = 256
#: Bytes at the peak of a pass, per byte of all values of the graph. Measured on ResNet50, MobileNetV2, VGG16 and a
#: block of attention, per sample: 0.2 to 1.6, the most with alpha-beta rules.
HELD = 3
#: The files with a container's limit and use of memory: of version 2 and version 1 of control groups.
CONTAINER = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
#: What is taken to be free where the system does not tell as Linux does.
UNTOLD = 2 * 2**30
#: The share of the free memory that a pass may fill.
SHARE = 0.5


class BatchSize:
    """The number of samples that run at once, in one call and for samples of one size.

    Attributes:
        now: The number, which only falls.
    """

    def __init__(self, now: int, most: dict[Any, int], sizes: Any) -> None:
        self.now = now
        self._most, self._sizes = most, sizes

    def halve(self, ran: int, fixed: int | None, error: MemoryError) -> None:
        """Goes on with half of what did not fit, in this call and in later ones.

        Args:
            ran: How many samples did not fit.
            fixed: The batch size that the model is made for, if it is.
            error: What was raised.

        Raises:
            MemoryError: There is nothing to halve.
        """
        if fixed or ran == 1:
            what = f"a batch of {fixed}, which the model is made for," if fixed else "a single sample"
            raise MemoryError(f"{what} does not fit into memory: {error}") from error
        self.now = self._most[self._sizes] = ran // 2
        warnings.warn(f"{ran} samples at once do not fit into memory: going on with {self.now}", stacklevel=2)


class BatchSizes:
    """The batch sizes of an analyzer that are known so far, by the sizes of the samples."""

    def __init__(self) -> None:
        self._most: dict[Any, int] = {}
        self._automatic: dict[Any, int] = {}

    def of(self, asked: int | str, pipelines: Pipelines, given: Sequence[Any]) -> BatchSize:
        """The batch size for samples of some sizes.

        Args:
            asked: A number, or "auto".
            pipelines: What is to run.
            given: Such samples, from `by_input`.

        Raises:
            ValueError: What is asked for is no batch size.
            InputError: The samples are not shaped as the model's inputs are.
        """
        check_batch_size(asked)
        sizes = tuple(tuple(array.shape[1:]) for array in given)
        if isinstance(asked, str):
            if sizes not in self._automatic:  # once: another batch size would be compiled anew by XLA
                check_shapes(given, pipelines.first.graph.input_names, pipelines.inputs)
                self._automatic[sizes] = automatic(pipelines.graph_at(sizes), pipelines.dtype)
            asked = self._automatic[sizes]
        return BatchSize(min(asked, self._most.get(sizes, asked)), self._most, sizes)


def automatic(graph: Graph, dtype: str) -> int:
    """The largest power of two, up to `MOST`, with which a pass fits into its share of the free memory.

    On an accelerator that does not tell how much is free it is `MOST`: there, what does not fit is an error, after
    which the batch is halved. A host kills the process instead.

    Args:
        graph: What runs, with no size left open.
        dtype: The floating dtype that it runs in.
    """
    free = backend.free_memory()
    if free is None:
        if backend.on_accelerator():
            return MOST
        free = free_host_memory()
    fitting = SHARE * free / (HELD * bytes_per_sample(graph, dtype))
    return min(MOST, 2 ** int(math.log2(max(fitting, 1))))


def bytes_per_sample(graph: Graph, dtype: str) -> int:
    """The size of all values of a graph, for one sample; of a recurrent layer, those of every step."""
    total = 0
    for value in graph.values():
        each = np.dtype(dtype if value.is_float else value.dtype).itemsize
        total += each * value.fold * math.prod(size or 1 for size in value.sample_shape)
    for node in graph.nodes:
        if isinstance(node.primitive, Recurrent):
            total += (node.inputs[0].shape[1] or 1) * bytes_per_sample(node.primitive.cell, dtype)
    return total


def free_host_memory() -> int:
    """Bytes that this process may still take: of the machine's, and of its container's if that has a limit."""
    meminfo = pathlib.Path("/proc/meminfo")
    if not meminfo.exists():
        return UNTOLD
    told = dict(line.split(":") for line in meminfo.read_text().splitlines())
    found = [int(told["MemAvailable"].split()[0]) * 1024]
    for names in CONTAINER:
        with contextlib.suppress(OSError, ValueError):  # without a limit the file is missing, or says "max"
            limit, used = (int(pathlib.Path("/sys/fs/cgroup", name).read_text()) for name in names)
            found.append(limit - used)
    return max(min(found), 0)
