"""A file that is changed in steps, of which each is there whole or not at all, whatever ends the process.

HDF5 writes its indexes anew in place, so that a process that ends in between leaves a file that does not open. Here the
HDF5 library writes to memory. What is about to be overwritten is noted down in a second file, the log, beside the
first, with the length of the first; then what is new is put behind its end, and the rest is overwritten; then the log
says so. A step without that last word is taken back by the log when the file is next opened. So are steps whose bytes
are missing, where the file was cut off.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pathlib
import shutil
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

try:
    import fcntl
except ImportError:  # on Windows, where two processes that write to one file are not told from one
    fcntl = None  # type: ignore[assignment]

#: What is overwritten is noted in pieces of this size.
PAGE = 4096
#: The log takes back this many of the last steps; older ones are forgotten.
STEPS = 64
#: From this size on it is looked whether the log tells of more.
LONGEST_LOG = 2**24
#: The first bytes of a file, which are others after every step: by them a log is known to be of the file beside it.
HEAD = 512

_HEAD = struct.Struct("<cQ32s")  # what it is, how long, its checksum
_BEGUN, _DONE = b"B", b"C"


class Piece(NamedTuple):
    """Bytes of a file, and where they are."""

    offset: int
    bytes: bytes


class Change(NamedTuple):
    """A change of a file.

    Attributes:
        at: Where it is in the log.
        head: The first bytes of the file after it.
        before: How long the file was.
        pieces: What was there before.
        after: How long it is since; None while the change has not been made.
    """

    at: int
    head: bytes
    before: int
    pieces: tuple[Piece, ...]
    after: int | None


class DurableFile(io.RawIOBase):
    """Something h5py takes for a file: it reads the file below, and what is written is held until `commit`.

    Args:
        path: The file; it is made if there is none. A step that was begun and not made is taken back.

    Raises:
        BlockingIOError: Another process writes to it.
        OSError: It cannot be read or written.
    """

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.path = path
        self._log = _locked_log(path)
        self._file: BinaryIO | None = None
        try:
            path.touch()
            self._file = path.open("r+b")
            take_back(self._file, self._log)
            self._committed = self._file.seek(0, os.SEEK_END)
        except BaseException:
            self.close()
            raise
        self.discard()

    def discard(self) -> None:
        """Forgets what was written since the last commit."""
        self._changed: dict[int, bytearray] = {}
        self._new = bytearray()
        self._size = self._committed
        self._at = 0

    # What h5py calls.

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        found = self._read(self._at, len(buffer))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        given, begin = bytes(data), self._at
        for start, page, offset in self._pages(begin, min(begin + len(given), self._committed)):
            part = given[start - begin : start - begin + len(page) - offset]
            page[offset : offset + len(part)] = part
        behind = max(0, self._committed - begin)  # how much of it overwrites
        if behind < len(given):
            at = begin + behind - self._committed
            self._new.extend(bytes(max(0, at - len(self._new))))
            self._new[at : at + len(given) - behind] = given[behind:]
        self._at += len(given)
        self._size = max(self._size, self._at)
        return len(given)

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        kept = max(0, self._size - self._committed)
        del self._new[kept:]
        self._new.extend(bytes(kept - len(self._new)))
        return self._size

    def flush(self) -> None:
        """Nothing reaches the disk before `commit`."""

    def _pages(self, begin: int, end: int) -> Iterator[tuple[int, bytearray, int]]:
        """Pages of what was there at the last commit, to be changed: where each part begins, the page, and where in it.

        The last page ends where the file did.
        """
        while begin < end:
            number, offset = divmod(begin, PAGE)
            if number not in self._changed:
                self._changed[number] = bytearray(self._old(number))
            page = self._changed[number]
            yield begin, page, offset
            begin += len(page) - offset

    def _old(self, number: int) -> bytes:
        """A page as it was at the last commit."""
        assert self._file is not None
        self._file.seek(number * PAGE)
        return self._file.read(min(PAGE, self._committed - number * PAGE))

    def _read(self, begin: int, size: int) -> bytes:
        end = min(begin + size, self._size)
        old_end = min(end, self._committed)
        found = bytearray()
        while begin < old_end:
            number, offset = divmod(begin, PAGE)
            held = self._changed.get(number)
            if held is None:
                stop = min(old_end, (number + 1) * PAGE)
                while stop < old_end and stop // PAGE not in self._changed:
                    stop = min(old_end, stop + PAGE)
                assert self._file is not None
                self._file.seek(begin)
                part = self._file.read(stop - begin)
            else:
                part = bytes(held[offset : offset + old_end - begin])
            found += part
            begin += len(part)
        if begin < end:
            found += self._new[begin - self._committed : end - self._committed]
        return bytes(found)

    # What writes.

    def commit(self) -> None:
        """Makes what was written since the last time one step of the file, and returns when it is on the disk.

        Raises:
            OSError: There is no room, say. The file is as it was before.
        """
        assert self._file is not None
        try:
            self._make()
        except BaseException:
            self.discard()
            take_back(self._file, self._log)
            raise
        self._committed = self._size
        self.discard()

    def _make(self) -> None:
        file, size = self._file, self._size
        assert file is not None
        changed = {number: page for number, page in self._changed.items() if number * PAGE < size}
        cut = range(size // PAGE, -(-self._committed // PAGE)) if size < self._committed else ()
        before = tuple(Piece(number * PAGE, self._old(number)) for number in sorted({*changed, *cut}))
        _append(self._log, _BEGUN, _packed(self._read(0, HEAD), self._committed, before))
        file.seek(self._committed)
        file.write(self._new)
        _to_disk(file)
        # The first page last: it says how many samples there are, so that whoever reads beside sees no part of a step.
        for number in sorted(changed, reverse=True):
            file.seek(number * PAGE)
            file.write(changed[number][: max(0, size - number * PAGE)])
        file.truncate(size)
        _to_disk(file)
        _append(self._log, _DONE, struct.pack("<Q", size))
        steps = _steps(self._log) if self._log.tell() > LONGEST_LOG else []
        if len(steps) > 2 * STEPS:
            self._log = _shortened(self._log, steps[-STEPS].at, self.path)

    def finish(self) -> None:
        """Removes the log, and closes the file: nothing can be taken back any more."""
        if fcntl is not None:  # elsewhere a file that is open cannot be removed
            log_of(self.path).unlink()
        self.close()
        log_of(self.path).unlink(missing_ok=True)

    def close(self) -> None:
        if not self.closed:
            for file in (self._file, self._log):
                if file is not None:
                    file.close()
        super().close()


def log_of(path: pathlib.Path) -> pathlib.Path:
    """The file beside a file that is being written, by which its last steps can be taken back."""
    return path.with_name(path.name + ".undo")


def repair(path: pathlib.Path) -> None:
    """Takes back a step that was begun and not made, unless a process is at it, or the log is that of another file.

    Raises:
        OSError: It cannot be taken back.
    """
    log = log_of(path)
    if not log.exists():
        return
    with log.open("rb") as raw:
        steps = _steps(raw)
    if not steps or (steps[-1].after is not None and steps[-1].after <= path.stat().st_size):
        return
    with contextlib.suppress(BlockingIOError, ValueError):
        DurableFile(path).close()


def take_back(file: BinaryIO, log: BinaryIO) -> None:
    """Takes back the last steps until those that remain were made, and all of their bytes are there.

    Raises:
        ValueError: The log is that of another file.
    """
    steps = _steps(log)
    file.seek(0)
    own = file.read(HEAD)
    heads = [step.head for step in steps]
    heads += [piece.bytes[:HEAD] for step in steps[:1] for piece in step.pieces if piece.offset == 0]
    if steps and not any(head.startswith(own) for head in heads):
        raise ValueError(f"{log.name!r} is of another file than the one beside it: remove it if that one is complete")
    kept = len(steps)
    size = file.seek(0, os.SEEK_END)
    while kept and ((after := steps[kept - 1].after) is None or after > size):
        kept -= 1
        for piece in steps[kept].pieces:
            file.seek(piece.offset)
            file.write(piece.bytes)
        file.truncate(min(file.seek(0, os.SEEK_END), steps[kept].before))
    _to_disk(file)
    if kept < len(steps):
        log.truncate(steps[kept].at)
        _to_disk(log)


def _steps(log: BinaryIO) -> list[Change]:
    """The steps that a log tells of, up to where it was cut off."""
    log.seek(0)
    steps: list[Change] = []
    at = 0
    while len(head := log.read(_HEAD.size)) == _HEAD.size:
        kind, size, checksum = _HEAD.unpack(head)
        payload = log.read(size)
        if hashlib.sha256(payload).digest() != checksum:
            break
        if kind == _BEGUN:
            steps.append(_unpacked(payload, at))
        elif steps:
            steps[-1] = steps[-1]._replace(after=struct.unpack("<Q", payload)[0])
        at += _HEAD.size + size
    if log.writable():
        log.truncate(at)  # or what is appended would not be read
    return steps


def _append(log: BinaryIO, kind: bytes, payload: bytes) -> None:
    log.seek(0, os.SEEK_END)
    log.write(_HEAD.pack(kind, len(payload), hashlib.sha256(payload).digest()) + payload)
    _to_disk(log)


def _packed(head: bytes, before: int, pieces: tuple[Piece, ...]) -> bytes:
    parts = [head.ljust(HEAD, b"\0"), struct.pack("<QQ", before, len(pieces))]
    parts += [struct.pack("<QQ", piece.offset, len(piece.bytes)) + piece.bytes for piece in pieces]
    return b"".join(parts)


def _unpacked(payload: bytes, begin: int) -> Change:
    before, count = struct.unpack_from("<QQ", payload, HEAD)
    at, pieces = HEAD + 16, []
    for _ in range(count):
        offset, size = struct.unpack_from("<QQ", payload, at)
        pieces.append(Piece(offset, payload[at + 16 : at + 16 + size]))
        at += 16 + size
    return Change(begin, payload[:HEAD], before, tuple(pieces), None)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _locked_log(path: pathlib.Path) -> BinaryIO:
    """The log of a file, which this process alone writes to."""
    while True:
        log = log_of(path).open("a+b")
        if fcntl is None:
            return log
        try:
            fcntl.flock(log.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(log.fileno()), log_of(path).stat()):
                return log
        except BlockingIOError:
            log.close()
            raise BlockingIOError(f"another process writes to {os.fspath(path)!r}: wait for it, or end it") from None
        except FileNotFoundError:
            pass
        log.close()  # whoever had it has replaced or removed it in the meantime


def _shortened(log: BinaryIO, begin: int, path: pathlib.Path) -> BinaryIO:
    """The log without what is before `begin`, in its place."""
    new = log_of(path).with_suffix(".new")
    log.seek(begin)
    with new.open("wb") as file:
        shutil.copyfileobj(log, file)
        _to_disk(file)
    shorter = new.open("a+b")
    if fcntl is not None:
        fcntl.flock(shorter.fileno(), fcntl.LOCK_EX)
    if fcntl is None:  # elsewhere the old one is held until the new one is there
        log.close()
    new.replace(log_of(path))
    log.close()
    return shorter
