"""Files that are changed in steps: whatever ends the process, and wherever, each step is there whole or not at all."""

from __future__ import annotations

import os
import pathlib
import resource
import signal
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from kerasexplain.store import durable
from kerasexplain.store.durable import DurableFile, log_of, repair
from kerasexplain.store.format import made_file, make_dataset

pytestmark = [
    pytest.mark.once("is about files"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

ROWS = 5


def step(file: DurableFile, number: int) -> None:
    """Appends rows to two datasets, and makes a third."""
    new = file.seek(0, os.SEEK_END) == 0
    with made_file(file) if new else h5py.File(file, "r+") as h5:
        for name, width in {"wide": 300, "group/narrow": 1}.items():
            if name not in h5:
                make_dataset(h5, name, (width,), "float64", ROWS, None)
            h5[name].resize((number + 1) * ROWS, axis=0)
            h5[name][number * ROWS :] = values(number, width)
        make_dataset(h5, f"extra/{number}", (3,), "int32", ROWS, "gzip")
    file.seek(0)
    file.write(memoryview(b"the file of the test\n".ljust(64, b".") + b"%d" % number))
    file.commit()


def values(number: int, width: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(ROWS, width))


def written(path: pathlib.Path, steps: int) -> list[bytes]:
    """The bytes of the file after every step."""
    found = []
    file = DurableFile(path)
    for number in range(steps):
        step(file, number)
        found.append(path.read_bytes())
    file.close()
    return found


def check(path: pathlib.Path, steps: int) -> None:
    with h5py.File(path, "r") as h5:
        for name, width in {"wide": 300, "group/narrow": 1}.items():
            expected = np.concatenate([values(number, width) for number in range(steps)])
            np.testing.assert_array_equal(h5[name][()], expected)


def in_a_child(do: Callable[[], None]) -> int:
    """How a copy of this process ended that did something: a negative signal, or 0."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            do()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


class Dying:
    """A file that writes half of what it is told at the write of a number, and kills the process."""

    def __init__(self, file: Any, left: list[int]) -> None:
        self._file, self._left = file, left

    def write(self, data: Any) -> int:
        self._left[0] -= 1
        if self._left[0] == 0:
            self._file.write(bytes(data)[: len(data) // 2])
            self._file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._file.write(data)

    def truncate(self, *size: int) -> int:
        self.write(b"")
        return self._file.truncate(*size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_kill_at_any_write_leaves_whole_steps(tmp_path: pathlib.Path) -> None:
    after = written(tmp_path / "whole", 3)
    for at in range(1, 200):
        path = tmp_path / f"killed at {at}"

        def killed(path: pathlib.Path = path, at: int = at) -> None:
            file, left = DurableFile(path), [at]
            file._file, file._log = Dying(file._file, left), Dying(file._log, left)  # type: ignore[assignment]
            for number in range(3):
                step(file, number)

        ended = in_a_child(killed)
        repair(path)
        found = path.read_bytes()
        assert found == b"" or found in after, at
        file = DurableFile(path)
        for number in range(after.index(found) + 1 if found else 0, 3):
            step(file, number)
        file.close()
        assert path.read_bytes() == after[-1]
        check(path, 3)
        if ended == 0:
            break
    else:
        pytest.fail("it writes without end")
    assert at > 15


def test_a_kill_while_a_step_is_taken_back_loses_nothing(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    after = written(path, 3)
    log = log_of(path).read_bytes()
    for at in range(1, 50):
        path.write_bytes(after[2][: len(after[1]) - 1])  # so that two steps are taken back
        log_of(path).write_bytes(log)

        def killed(at: int = at) -> None:
            left = [at]
            with path.open("r+b") as file, log_of(path).open("a+b") as noted:
                durable.take_back(Dying(file, left), Dying(noted, left))  # type: ignore[arg-type]

        ended = in_a_child(killed)
        repair(path)
        assert path.read_bytes() == after[0], at
        if ended == 0:
            break
    assert at > 5


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_a_file_that_was_cut_off_goes_back_to_the_last_whole_step(tmp_path: pathlib.Path, share: float) -> None:
    path = tmp_path / "file"
    after = written(path, 6)
    size = int(share * len(after[-1]))
    with path.open("r+b") as raw:
        raw.truncate(size)
    repair(path)
    whole = [step for step in after if len(step) <= size]
    assert path.read_bytes() == (whole[-1] if whole else b"")
    file = DurableFile(path)
    for number in range(len(whole), 6):
        step(file, number)
    file.close()
    assert path.read_bytes() == after[-1]


def test_a_full_disk_is_an_error_and_the_file_is_as_it_was(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    after = written(path, 3)
    two = len(after[1])

    def full() -> None:
        path.unlink()
        log_of(path).unlink()
        file = DurableFile(path)
        for number in range(2):
            step(file, number)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (two + 100, resource.RLIM_INFINITY))
        with pytest.raises(OSError, match="large"):
            step(file, 2)
        assert path.read_bytes() == after[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        step(file, 2)
        assert path.read_bytes() == after[2]

    assert in_a_child(full) == 0


def test_of_two_processes_one_writes(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    file = DurableFile(path)
    with pytest.raises(BlockingIOError, match="another process writes to"):
        DurableFile(path)
    file.close()
    DurableFile(path).finish()
    assert not log_of(path).exists()
    DurableFile(path).close()


def test_the_log_of_another_file_is_not_used(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    written(path, 2)
    other = b"another file".ljust(200, b"!")
    path.write_bytes(other)
    with pytest.raises(ValueError, match="is of another file"):
        DurableFile(path)
    assert path.read_bytes() == other


def test_a_long_log_is_shortened(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "LONGEST_LOG", 100)
    monkeypatch.setattr(durable, "STEPS", 2)
    path = tmp_path / "file"
    after = written(path, 9)
    with log_of(path).open("rb") as log:
        assert 2 <= len(durable._steps(log)) <= 4
    with path.open("r+b") as raw:
        raw.truncate(len(after[-1]) - 1)
    repair(path)
    assert path.read_bytes() == after[-2]


def test_what_is_written_is_read_before_it_is_on_the_disk(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 64)
    file, expected = DurableFile(path), bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(200):
        at, size = int(rng.integers(0, len(expected) + 50)), int(rng.integers(1, 9000))
        data = rng.bytes(size)
        if rng.random() < 0.2:
            at = min(at, len(expected))
            file.truncate(at)
            del expected[at:]
        file.seek(at)
        file.write(memoryview(data))
        expected.extend(bytes(max(0, at - len(expected))))
        expected[at : at + size] = data
        file.seek(begin := int(rng.integers(0, len(expected))))
        buffer = bytearray(int(rng.integers(1, 20000)))
        count = file.readinto(memoryview(buffer))
        assert buffer[:count] == expected[begin : begin + len(buffer)]
        if rng.random() < 0.2:
            file.commit()
            assert path.read_bytes() == expected
    file.close()
