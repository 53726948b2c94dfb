"""Files of strangers: what they declare is compared with what may be before anything in them is unpacked.

What is refused is a ValueError, in words that follow the name of the file.
"""

from __future__ import annotations

import io
import json
import math
import os
import pathlib
import struct
import zipfile
from typing import Any, BinaryIO

import numpy as np

Path = str | os.PathLike[str]

#: A file may unpack to so many bytes, or to so many times its own size, whichever is more.
UNPACKED_BYTES, UNPACKED_TIMES = 256 * 2**20, 10
#: No configuration in JSON is larger: in memory, it may take more than twenty times as much.
JSON_BYTES = 32 * 2**20
#: No archive has more members.
MOST_MEMBERS = 10_000
#: What the directory of an archive takes at most, per member: each has a name.
_DIRECTORY_BYTES = 512 * MOST_MEMBERS
#: How arrays, models and what they hold are packed; other ways let the archive choose how much memory they take.
_PACKED_BY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def most_unpacked(path: Path) -> int:
    """How many bytes a file may unpack to."""
    return max(UNPACKED_BYTES, UNPACKED_TIMES * pathlib.Path(path).stat().st_size)


def check_archive(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members of a zip file by name, if they are what they may be, and undamaged.

    Raises:
        ValueError: They would unpack to too much, lie in each other, are packed in another way, lead out of the folder
            they are unpacked to, or differ from their checksums.
    """
    most = most_unpacked(path)
    with pathlib.Path(path).open("rb") as raw:
        if _directory_bytes(raw) > _DIRECTORY_BYTES:
            raise ValueError(f"it is an archive of more than {MOST_MEMBERS} members")
    try:
        with zipfile.ZipFile(path) as archive:
            found = _checked(archive.infolist(), most)
            damaged = archive.testzip()
    except (
        zipfile.BadZipFile,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # zlib's, and what zipfile makes of bytes that mean nothing
        raise ValueError(f"it is damaged ({error})") from None
    if damaged is not None:
        raise ValueError(f"its member {damaged!r} is damaged")
    return found


def _checked(members: list[zipfile.ZipInfo], most: int) -> dict[str, zipfile.ZipInfo]:
    if len(members) > MOST_MEMBERS:
        raise ValueError(f"it is an archive of more than {MOST_MEMBERS} members")
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        name = member.filename
        if member.header_offset < end:
            raise ValueError(f"its member {name!r} lies within another")
        end = member.header_offset + 30 + member.compress_size  # 30 is the least that its own header takes
        most -= member.file_size
        if most < 0:
            raise ValueError("it declares more than it may unpack to (a decompression bomb)")
        if member.compress_type not in _PACKED_BY or member.flag_bits & 1:
            raise ValueError(f"its member {name!r} is encrypted, or packed by another way than deflate")
        if name.startswith(("/", "\\")) or ".." in pathlib.PurePosixPath(name.replace("\\", "/")).parts:
            raise ValueError(f"its member {name!r} leads out of the archive")
    found = {member.filename: member for member in members}
    if len(found) < len(members):
        raise ValueError("two of its members have one name")
    return found


def _directory_bytes(raw: BinaryIO) -> int:
    """The size of a zip file's directory, which zipfile reads as a whole."""
    size = raw.seek(0, os.SEEK_END)
    raw.seek(max(0, size - 2**16 - 100))
    tail = raw.read()
    at = len(tail) - 22 if tail[-22:-18] == b"PK\5\6" and tail[-2:] == b"\0\0" else tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        return 0  # no archive: zipfile says so
    if tail[max(0, at - 20) :].startswith(b"PK\6\7") and tail[max(0, at - 76) :].startswith(b"PK\6\6"):
        return int(struct.unpack_from("<Q", tail, at - 76 + 40)[0])
    return int(struct.unpack_from("<L", tail, at + 12)[0])


def place_of(path: Path, member: zipfile.ZipInfo) -> tuple[int, int]:
    """Where a member of an archive that is stored as it is begins, and how long it is."""
    with pathlib.Path(path).open("rb") as raw:
        raw.seek(member.header_offset + 26)
        name, extra = struct.unpack("<HH", raw.read(4))
    return member.header_offset + 30 + name + extra, member.file_size


class Part(io.RawIOBase):
    """A part of a file, as if it were a file: HDF5 reads here and there in a member of an archive.

    Args:
        path: The file.
        begin, size: Where the part is.
    """

    def __init__(self, path: Path, begin: int, size: int) -> None:
        self._raw = pathlib.Path(path).open("rb")  # noqa: SIM115 - closed by close
        self._begin, self._size, self._at = begin, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a position."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Reads into a buffer, up to the part's end."""
        self._raw.seek(self._begin + self._at)
        view = memoryview(buffer).cast("B")
        count = self._raw.readinto(view[: max(0, min(len(view), self._size - self._at))])
        self._at += count
        return count

    def close(self) -> None:
        """Closes the file."""
        self._raw.close()
        super().close()


def from_json(text: str | bytes, most: int = JSON_BYTES) -> Any:
    """The data that a text in JSON holds.

    Raises:
        ValueError: It is none, is too large, or is nested too deeply.
    """
    if not isinstance(text, (str, bytes)):
        raise ValueError(f"its configuration is no text, but {type(text).__name__}")
    if len(text) > most:
        raise ValueError(f"its configuration takes {len(text)} bytes, and {most} at most are read")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its configuration is nested too deeply") from None


def read_arrays(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a `.npy` file, or those of a `.npz` file by name; whichever it is, its content tells.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no such file, holds pickles, is damaged, or would unpack to too much.
    """
    with pathlib.Path(path).open("rb") as raw:
        if raw.read(4) not in (b"PK\3\4", b"PK\5\6"):
            raw.seek(0)
            return _array(raw, raw.seek(0, os.SEEK_END))
    found = {}
    members = check_archive(path)
    with zipfile.ZipFile(path) as archive:
        for name, member in members.items():
            if not name.endswith(".npy"):
                raise ValueError(f"its member {name!r} is no array")
            with archive.open(member) as raw:
                found[name.removesuffix(".npy")] = _array(raw, member.file_size)
    return found


def _array(raw: Any, size: int) -> np.ndarray:
    raw.seek(0)
    shape, fortran, dtype = read_array_header(raw)
    declared, held = math.prod(shape) * dtype.itemsize, size - raw.tell()
    if declared > held:  # numpy would ask for the memory first
        raise ValueError(f"its header declares {declared} bytes of values, and {held} are there")
    try:
        values = np.empty(shape, dtype, order="F" if fortran else "C")
    except (OverflowError, MemoryError) as error:
        raise ValueError(f"its header declares the shape {shape}: {error}") from None
    view = memoryview(values.reshape(-1, order="A").view("uint8").data if declared else b"")
    while len(view):
        count = raw.readinto(view)
        if not count:
            raise ValueError("it is cut off")
        view = view[count:]
    return values


def read_array_header(raw: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape, whether the first axis varies fastest, and the type of the values behind the header of an array.

    Raises:
        ValueError: It is no header of an array of plain values.
    """
    try:
        version = np.lib.format.read_magic(raw)
        if version not in ((1, 0), (2, 0)):
            raise ValueError("it is of another version of the format")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(raw)
    except ValueError:
        raise
    except Exception as error:  # whatever Python's parser finds wrong with the header
        raise ValueError(f"its header cannot be read ({error})") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which only pickle could read")
    if any(length < 0 for length in shape):
        raise ValueError(f"its header declares the shape {shape}")
    return shape, fortran, dtype
