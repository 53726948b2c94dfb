"""The data that the tab reads: runs, tags, steps and arrays, through TensorBoard's data provider.

Nothing that a browser sends reaches the provider. Runs and tags are looked up among those that it lists, steps among
those of a tag, sections and samples in the header of a step.

Two things make the difference between seconds and milliseconds. The list of a tag's steps names every blob of every
step, so it is read again only after something was written, and the more seldom the longer that took. And the fast data
server answers each read after about 40 ms, however small (TensorBoard 2.21): blobs are few, and read at the same time.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from tensorboard.data import provider

from kerasexplain.tensorboard import records

#: How many blobs are read at the same time.
READERS = 32
#: How long a list of runs and tags is good, in seconds.
LIST_FOR = 1.0
#: A list of steps that took t seconds to read is good for so many times t.
STEPS_FOR = 10.0
#: Headers that were read are cached up to so many bytes.
CACHE_BYTES = 64 * 2**20
#: No list of steps has more.
MOST_STEPS = 1_000_000

#: Experiment, run and tag.
Place = tuple[str, str, str]


class RequestError(ValueError):
    """A request that is malformed, or asks for too much."""


class NotThereError(LookupError):
    """There is no such run, tag, step, section or sample."""


@dataclasses.dataclass(frozen=True)
class Steps:
    """The steps of one tag that TensorBoard has kept.

    Attributes:
        place: Whose steps they are.
        data: One per step, in order.
        version: What tells whether something was written since.
        until: When to look again, by the monotonic clock.
    """

    place: Place
    data: tuple[provider.BlobSequenceDatum, ...]
    version: Hashable
    until: float

    def at(self, step: int) -> provider.BlobSequenceDatum:
        """The data written at a step."""
        for datum in self.data:
            if datum.step == step:
                return datum
        raise NotThereError(f"there is no step {step}")


class Reader:
    """Reads the plugin's data of one TensorBoard. It may be used by several threads.

    Args:
        data_provider: TensorBoard's.
    """

    def __init__(self, data_provider: provider.DataProvider) -> None:
        self._provider = data_provider
        self._pool = ThreadPoolExecutor(READERS, "relevance")
        self._lock = threading.Lock()
        self._lists: dict[str, tuple[float, dict[str, dict[str, Any]]]] = {}
        self._steps: dict[Place, Steps] = {}
        self._headers = Cache(CACHE_BYTES)
        self._sections: dict[tuple[str, ...], records.Section] = {}

    def runs(self, ctx: Any, experiment: str) -> dict[str, dict[str, Any]]:
        """By run and tag, what the provider lists: the last step, when it was written, the number of blobs."""
        with self._lock:
            until, listed = self._lists.get(experiment, (0.0, {}))
            if time.monotonic() >= until:
                listed = self._provider.list_blob_sequences(ctx, experiment_id=experiment, plugin_name=records.PLUGIN)
                listed = {run: dict(tags) for run, tags in listed.items()}
                self._lists[experiment] = time.monotonic() + LIST_FOR, listed
                gone = [place for place in self._steps if place[2] not in listed.get(place[1], {})]
                for place in gone:
                    del self._steps[place]
            return listed

    def steps(self, ctx: Any, experiment: str, run: str, tag: str) -> Steps:
        """The steps of a tag.

        Raises:
            NotThereError: There is no such run, or no such tag in it.
        """
        listed = self.runs(ctx, experiment)
        if run not in listed:
            raise NotThereError(f"there is no run {run!r} with relevance")
        if tag not in listed[run]:
            raise NotThereError(f"there is no tag {tag!r} in the run {run!r}")
        series = listed[run][tag]
        version = (series.max_step, series.max_wall_time)
        place = (experiment, run, tag)
        with self._lock:
            known = self._steps.get(place)
            if known is None or (known.version != version and time.monotonic() >= known.until):
                begin = time.monotonic()
                read = self._provider.read_blob_sequences(
                    ctx,
                    experiment_id=experiment,
                    plugin_name=records.PLUGIN,
                    downsample=MOST_STEPS,
                    run_tag_filter=provider.RunTagFilter(runs=[run], tags=[tag]),
                )
                end = time.monotonic()
                data = tuple(read.get(run, {}).get(tag, ()))
                known = self._steps[place] = Steps(place, data, version, end + STEPS_FOR * (end - begin))
            return known

    def header(self, ctx: Any, datum: provider.BlobSequenceDatum) -> records.Header:
        """The header of a step.

        Raises:
            FormatError: It is none, or names blobs that do not exist.
        """
        return self.headers(ctx, [datum])[0]

    def headers(self, ctx: Any, data: Sequence[provider.BlobSequenceDatum]) -> list[records.Header]:
        """The headers of several steps."""
        return list(self._pool.map(lambda datum: self._header(ctx, datum), data))

    def _header(self, ctx: Any, datum: provider.BlobSequenceDatum) -> records.Header:
        if not datum.values:
            raise records.FormatError(f"nothing was written at step {datum.step}")
        key = datum.values[0].blob_key, datum.wall_time

        def read() -> tuple[records.Header, int]:
            blob = self._provider.read_blob(ctx, blob_key=datum.values[0].blob_key)
            header = records.Header.from_blob(blob)
            _check(header, len(datum.values))
            return header, len(blob)

        return self._headers.get(key, read)

    def arrays(
        self, ctx: Any, steps: Steps, step: int, name: str, samples: Sequence[int], most: int
    ) -> tuple[records.Header, records.Section, list[np.ndarray]]:
        """The header of a step, a section, and the arrays of those samples that are in it.

        Where the arrays are is in the header. They are read at the same time as it, from where they were at another
        step, and once more if that was wrong.

        Raises:
            NotThereError: There is no such step, or no such section.
            RequestError: The arrays would take more than `most` bytes in single precision.
            FormatError: What is there is no array, or has another shape than the header says.
        """
        datum = steps.at(step)

        def reading(section: records.Section) -> dict[int, Future[bytes]]:
            positions = {section.place(sample)[0] for sample in samples if sample < section.count}
            return {
                at: self._pool.submit(self._provider.read_blob, ctx, blob_key=datum.values[at].blob_key)
                for at in sorted(positions)
                if at < len(datum.values)
            }

        def is_small(section: records.Section) -> bool:
            return math.prod(section.shape) * 4 * len(samples) <= most

        key = (*steps.place, name)
        guess = self._sections.get(key)
        blobs = reading(guess) if guess and is_small(guess) else {}
        header = self.header(ctx, datum)
        try:
            section = header.section(name)
        except records.FormatError as error:
            raise NotThereError(str(error)) from None
        if not is_small(section):
            raise RequestError(f"{len(samples)} samples of shape {section.shape} are too much for one request")
        if section != guess:
            self._sections[key] = section
            blobs = reading(section)
        blocks = {at: _block(blob.result(), section, at) for at, blob in blobs.items()}
        places = [section.place(sample) for sample in samples if sample < section.count]
        return header, section, [blocks[at][row] for at, row in places]


def _block(blob: bytes, section: records.Section, position: int) -> np.ndarray:
    """The samples in the blob at a position."""
    array = records.array_from_blob(blob)
    before = (position - section.first) * section.block
    expected = (min(section.block, section.count - before), *section.shape)
    if array.shape != expected or array.dtype.kind not in "biuf":
        raise records.FormatError(
            f"samples of {section.name!r} are {array.dtype} {array.shape}; expected numbers of shape {expected}"
        )
    return array


def _check(header: records.Header, blobs: int) -> None:
    """Raises FormatError where a header does not fit what it is the header of."""
    for section in header.sections:
        if not isinstance(section.name, str) or not isinstance(section.role, str):
            raise records.FormatError(f"a section has the name {section.name!r} and the role {section.role!r}")
        numbers = (section.first, section.count, section.block, *section.shape)
        if not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise records.FormatError(f"the section {section.name!r} has positions or sizes that are no numbers")
        if section.kind not in records.KINDS:
            raise records.FormatError(f"the section {section.name!r} is of the unknown kind {section.kind!r}")
        if section.block < 1:
            raise records.FormatError(f"the section {section.name!r} has blobs without samples")
        if section.first < 1 or section.end > blobs:
            raise records.FormatError(f"the section {section.name!r} ends at blob {section.end}; there are {blobs}")
        if section.kind == "tokens" and not section.shape and section.count:
            raise records.FormatError(f"the section {section.name!r} holds tokens without a length")


class Cache:
    """The values that were read last, up to a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], tuple[Any, int]]) -> Any:
        """The value of a key; `read` gives it and its size if it is not known."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
        value, size = read()
        with self._lock:
            self._bytes += size - self._values.pop(key, (None, 0))[1]
            self._values[key] = value, size
            while self._bytes > self._most:
                self._bytes -= self._values.popitem(last=False)[1][1]
        return value
