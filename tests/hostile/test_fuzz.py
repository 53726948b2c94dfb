"""Files damaged at random: each is read, or refused by a documented error that names it; nothing hangs or dies.

They are opened in a process of its own, of limited memory and time, for the libraries below are not ours.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import select
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("tensorboard")

from helpers import opener
from PIL import Image

from kerasexplain import create_analyzer
from kerasexplain.tensorboard.explanations import ExplanationLog
from kerasexplain.tensorboard.writer import Writer

pytestmark = pytest.mark.once("files are read the same way whatever computes")

KINDS = (".keras", ".h5", ".hdf5", ".explanation", ".json", ".fitted", ".npy", ".npz", ".png", ".jpg", ".v2")
#: A file of Keras 2, whose parts are renamed and rewritten.
OLD = pathlib.Path(__file__).parents[1] / "data" / "keras2" / "cudnnlstm.h5"
#: Damage that ended the process, or had it run for ever, before HDF5 files were looked at in another; an error in more
#: than a line; and an archive that lost its directory.
KEPT = {
    ".h5": (627, 841, 847, 1229, 1371),
    ".explanation": (348, 391, 414, 1094),
    ".fitted": (457, 346, 1127),
    ".npz": (347,),
}
#: Files of each kind: those of every run, and with --slow.
FEW, MANY = 20, 190
SECONDS = 60


class Opener:
    """The process that opens files; begun anew where one ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def open(self, path: pathlib.Path) -> dict[str, str]:
        """How a file ended."""
        if self._process is None:
            helpers = pathlib.Path(opener.__file__).parent
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (helpers.parent, helpers.parents[1])))}
            self._process = subprocess.Popen(
                [sys.executable, opener.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            assert self._answer(120)["ended"] == "ready"
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(str(path)) + "\n")
        self._process.stdin.flush()
        return self._answer(SECONDS)

    def _answer(self, seconds: float) -> dict[str, str]:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        self.close()
        return {"ended": "killed the process" if ready else "took too long"}

    def close(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def process() -> Iterator[Opener]:
    process = Opener()
    yield process
    process.close()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """By kind, a file that is whole; without a checksum, so that damage reaches what is behind it."""
    folder = tmp_path_factory.mktemp("good")
    model, rng = opener.network(), np.random.default_rng(0)
    x = rng.uniform(size=(2, 6, 6, 1)).astype("float32")
    model.save(folder / "a.keras")
    model.save(folder / "a.h5")
    found = create_analyzer("lrp.epsilon", model).explain(x, layers=["conv"], audit=True)
    found.save(folder / "a.explanation")
    create_analyzer("lrp.epsilon", model, epsilon=0.5, override=[("conv", "Flat")]).save(folder / "a.json")
    create_analyzer("pattern.net", model).fit(x).save(folder / "a.fitted")
    np.save(folder / "a.npy", x)
    np.savez_compressed(folder / "a.npz", x=x, y=np.arange(9))
    for name in ("a.png", "a.jpg"):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(folder / name)
    with Writer(folder / "events") as writer:
        ExplanationLog(x, titles=["a", "b"]).write(writer, "lrp.epsilon", found, step=0)
    (events,) = (folder / "events").iterdir()
    held = {kind: (folder / f"a{kind}").read_bytes() for kind in KINDS if kind not in (".v2", ".hdf5")}
    config = json.loads(held[".json"])
    del config["sha256"]
    held[".json"] = json.dumps(config).encode()
    held[".hdf5"] = OLD.read_bytes()
    return held | {".v2": events.read_bytes(), **{kind: held[kind][512:] for kind in (".explanation", ".fitted")}}


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Content with one to three kinds of damage."""
    for _ in range(rng.randint(1, 3)):
        at, length = rng.randrange(len(content) + 1), rng.choice((1, 2, 4, 8, 64, 512))
        other = rng.randrange(len(content) + 1)
        kind = rng.choice(("flip", "flip", "byte", "cut", "zero", "ones", "insert", "splice", "drop"))
        if kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        elif kind == "byte":
            content = content[:at] + bytes([rng.choice((0, 1, 127, 128, 255))]) + content[at + 1 :]
        elif kind == "cut":
            content = content[:at]
        elif kind == "zero":
            content = content[:at] + bytes(length) + content[at + length :]
        elif kind == "ones":
            content = content[:at] + b"\xff" * length + content[at + length :]
        elif kind == "insert":
            content = content[:at] + rng.randbytes(length) + content[at:]
        elif kind == "splice":
            content = content[:at] + content[other : other + length] + content[at + length :]
        else:
            content = content[:at] + content[at + length :]
    return content


def ended(kind: str, seed: int, good: dict[str, bytes], process: Opener, folder: pathlib.Path) -> str:
    """How a damaged file ended; empty where that is as it should."""
    path = folder / (f"events.out.tfevents.1.a{kind}" if kind == ".v2" else f"a{kind}")
    path.write_bytes(damaged(good[kind], random.Random(f"{kind} {seed}")))
    told = process.open(path)
    said = told.get("said", "")
    if told["ended"] not in ("read", "refused") or "allocate" in said or "MemoryError" in said:
        return f"{kind} {seed} {told['ended']}: {said}"
    if len(said.splitlines()) > 1 or any(not c.isprintable() for c in said):
        return f"{kind} {seed} is told in more than a line: {said!r}"
    return ""


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_read(kind: str, good: dict[str, bytes], process: Opener, tmp_path: pathlib.Path) -> None:
    path = tmp_path / (f"events.out.tfevents.1.a{kind}" if kind == ".v2" else f"a{kind}")
    path.write_bytes(good[kind])
    assert process.open(path) == {"ended": "read"}


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        pytest.param(
            kind, seed, marks=[pytest.mark.slow("each takes five seconds of work")] if i > (kind == ".h5") else []
        )
        for kind, seeds in KEPT.items()
        for i, seed in enumerate(seeds)
    ],
)
def test_damage_that_was_not_told(
    kind: str, seed: int, good: dict[str, bytes], process: Opener, tmp_path: pathlib.Path
) -> None:
    assert not ended(kind, seed, good, process, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "seeds", [range(FEW), pytest.param(range(FEW, MANY), marks=pytest.mark.slow("2,000 files"))], ids=["few", "many"]
)
def test_damaged_files(
    kind: str, seeds: range, good: dict[str, bytes], process: Opener, tmp_path: pathlib.Path
) -> None:
    wrong = []
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        wrong.append(ended(kind, seed, good, process, folder))
    assert not any(wrong), "\n".join(filter(None, wrong))
