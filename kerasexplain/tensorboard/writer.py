"""Events for TensorBoard, written without TensorFlow: scalars, histograms and images for the dashboards that
TensorBoard brings along, and relevance for the tab of ours."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasexplain.foundation.errors import not_importable
from kerasexplain.tensorboard.records import PLUGIN

try:
    from tensorboard.compat import tf
    from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
    from tensorboard.plugins.histogram import metadata as histograms
    from tensorboard.plugins.image import metadata as image_strips
    from tensorboard.plugins.scalar import metadata as scalars
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto
except ImportError as error:
    raise not_importable("this needs TensorBoard", "tensorboard", error) from error

if TYPE_CHECKING:
    from PIL.Image import Image

#: How finely histograms are counted, as TensorBoard itself does.
BINS = 30


class Writer:
    """Writes events to a new file in a folder.

    Args:
        log_dir: The folder, which is made if there is none. TensorBoard calls it a run.

    Raises:
        OSError: Nothing can be written there.

    Example:
        >>> with Writer("logs/relevance") as writer:
        ...     writer.scalar("share of inputs", 0.9, step=3)
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        folder = os.fspath(log_dir)
        before = _files(folder)
        self._events = EventFileWriter(folder, flush_secs=10)
        self._file = os.path.join(folder, (_files(folder) - before).pop())  # noqa: PTH118 - it may be an address

    def exists(self) -> bool:
        """Whether the file is still there; if not, what is written is lost."""
        return bool(tf.io.gfile.exists(self._file))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """A number, for the tab "Scalars"."""
        metadata = scalars.create_summary_metadata(display_name="", description="")
        metadata.data_class = summary_pb2.DATA_CLASS_SCALAR
        self._write(tag, metadata, make_tensor_proto(np.float32(value)), step)

    def histogram(self, tag: str, values: Any, step: int) -> None:
        """How numbers are distributed, for the tabs "Histograms" and "Distributions"; those that are not finite are
        left out."""
        metadata = histograms.create_summary_metadata(display_name="", description="")
        metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
        self._write(tag, metadata, make_tensor_proto(_counted(values)), step)

    def images(self, tag: str, images: Sequence[Image], step: int) -> None:
        """Images of one size, for the tab "Images"."""
        metadata = image_strips.create_summary_metadata(display_name="", description="")
        metadata.data_class = summary_pb2.DATA_CLASS_BLOB_SEQUENCE
        width, height = images[0].size
        blobs = [str(width).encode(), str(height).encode(), *(_png(image) for image in images)]
        self._write(tag, metadata, _strings(blobs), step)

    def relevance(self, tag: str, blobs: Sequence[bytes], step: int) -> None:
        """A sequence as `records.blobs_of` makes it, for the tab "Relevance"."""
        plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name=PLUGIN)
        metadata = summary_pb2.SummaryMetadata(plugin_data=plugin, data_class=summary_pb2.DATA_CLASS_BLOB_SEQUENCE)
        self._write(tag, metadata, _strings(blobs), step)

    def flush(self) -> None:
        """Waits until everything is in the file."""
        self._events.flush()

    def close(self) -> None:
        """Ends the file."""
        self._events.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self, tag: str, metadata: Any, tensor: Any, step: int) -> None:
        value = summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        event = event_pb2.Event(wall_time=time.time(), step=step, summary=summary_pb2.Summary(value=[value]))
        self._events.add_event(event)


def _files(folder: str) -> set[str]:
    return set(tf.io.gfile.listdir(folder)) if tf.io.gfile.isdir(folder) else set()


def _strings(blobs: Sequence[bytes]) -> Any:
    # Not make_tensor_proto: it goes through an array of fixed-width strings, which takes off zero bytes at their ends.
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=list(blobs))
    tensor.tensor_shape.dim.add(size=len(blobs))
    return tensor


def _png(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return buffer.getvalue()


def _counted(values: Any) -> np.ndarray:
    """Left and right edges of bins and their counts, `(bins, 3)`."""
    numbers = np.asarray(values, dtype=np.float64).ravel()
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return np.zeros((0, 3))
    low, high = float(numbers.min()), float(numbers.max())
    size = max(abs(low), abs(high))
    if high - low <= 1e-9 * size:  # bins would have no width, and TensorBoard would draw nothing
        low, high = low - max(0.5, 1e-6 * size), high + max(0.5, 1e-6 * size)
    counts, edges = np.histogram(numbers, bins=BINS, range=(low, high))
    return np.stack([edges[:-1], edges[1:], counts.astype(np.float64)], axis=1)
