"""Shards of a dataset, each explained by itself, are joined into the file of a single process, byte for byte."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest

from kerasexplain import InputError, create_analyzer
from kerasexplain.analyzer import Analyzer
from kerasexplain.store import Store, analyze_dataset, join_stores
from kerasexplain.store.joining import StoreWriter
from tests.helpers.stores import N, batches


@pytest.fixture(scope="module")
def analyzer(model: keras.Model) -> Analyzer:
    return create_analyzer("lrp.epsilon", model, batch_size=4)


def label(batch: Any) -> Any:
    return batch[1]


@pytest.mark.parametrize("precision", [None, "float16", "float64"])
@pytest.mark.parametrize("count", [2, 3])
def test_the_file_is_that_of_one_process(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path, count: int, precision: str | None
) -> None:
    asked: dict[str, Any] = {
        "target": np.arange(N) % 4,
        "keys": [f"{'z' * (i % 7)}{i}.png" for i in range(N)],
        "layers": ["conv"],
        "unit": 8,
        "precision": precision,
    }
    whole = analyze_dataset(analyzer, x, tmp_path / "whole.h5", **asked)
    files = [tmp_path / f"{i}.h5" for i in range(count)]
    for i in reversed(range(count)):
        analyze_dataset(analyzer, x, files[i], shard=(i, count), **asked)
    assert [len(Store(file)) for file in files] == {2: [24, 26], 3: [16, 16, 18]}[count]
    joined = join_stores(files[::-1], tmp_path / "joined.h5", verbose=1)
    assert joined.is_complete
    assert joined.relevance.error == whole.relevance.error
    assert (tmp_path / "joined.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_streams_are_the_parts_themselves(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    labels = np.arange(N) % 4
    analyze_dataset(analyzer, batches(x, 4, labels), tmp_path / "whole.h5", target=label, unit=8)
    parts = []
    for i, rows in enumerate((slice(0, 28), slice(28, N))):
        stream = batches(x[rows], 4, labels[rows])
        parts.append(analyze_dataset(analyzer, stream, tmp_path / f"{i}.h5", target=label, unit=8, shard=(i, 2)))
    join_stores(parts, tmp_path / "joined.h5")
    assert (tmp_path / "joined.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_keys_of_streams(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    labels = np.zeros(8, int)

    def part(i: int, keys: list[str]) -> Store:
        file = tmp_path / f"{i}{keys[0]}.h5"
        return analyze_dataset(
            analyzer, batches(x[8 * i : 8 * i + 8], 4, labels), file, keys=keys, unit=8, shard=(i, 2)
        )

    short, long = [*"abcdefgh"], [f"{i}.png" for i in range(8)]
    joined = join_stores([part(0, short), part(1, long)], tmp_path / "joined.h5")
    assert joined.keys.tolist() == [*short, *long]
    with pytest.raises(ValueError, match=r"the sample c is in .*0a\.h5' and in .*1z\.h5'"):
        join_stores([tmp_path / "0a.h5", part(1, [*"zyxcwvut"])], tmp_path / "other.h5")
    twice = analyze_dataset(analyzer, batches(x[:8], 4, labels), tmp_path / "2.h5", keys=long, unit=8, shard=(1, 2))
    with pytest.raises(ValueError, match="hold the same samples"):
        join_stores([tmp_path / "0a.h5", twice], tmp_path / "other.h5")
    assert not (tmp_path / "other.h5").exists()


def test_a_shard_and_a_join_go_on(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(_: int) -> None:
        raise KeyboardInterrupt

    analyze_dataset(analyzer, x, tmp_path / "whole.h5", unit=8)
    files = [tmp_path / "0.h5", tmp_path / "1.h5"]
    for i, file in enumerate(files):
        with pytest.raises(KeyboardInterrupt):
            analyze_dataset(analyzer, x, file, unit=8, shard=(i, 2), callback=end)
        with pytest.raises(ValueError, match="is incomplete"):
            join_stores(files[: i + 1], tmp_path / "joined.h5")
        with pytest.raises(ValueError, match="cannot be resumed: the shard changed"):
            analyze_dataset(analyzer, x, file, unit=8, shard=(1 - i, 2), resume=True)
        analyze_dataset(analyzer, x, file, unit=8, shard=(i, 2), resume=True)
    append = StoreWriter.append

    def fails(self: StoreWriter, *arguments: Any, **options: Any) -> None:
        if self.samples == 24:
            raise KeyboardInterrupt
        append(self, *arguments, **options)

    monkeypatch.setattr(StoreWriter, "append", fails)
    with pytest.raises(KeyboardInterrupt):
        join_stores(files, tmp_path / "joined.h5")
    monkeypatch.undo()
    with pytest.raises(FileExistsError, match="resume=True"):
        join_stores(files, tmp_path / "joined.h5")
    assert len(join_stores(files, tmp_path / "joined.h5", resume=True)) == N
    assert (tmp_path / "joined.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    with pytest.raises(ValueError, match="cannot be resumed"):
        analyze_dataset(analyzer, x[::-1], tmp_path / "joined.h5", unit=8, resume=True)
    assert len(analyze_dataset(analyzer, x, tmp_path / "joined.h5", unit=8, resume=True)) == N


def test_refusals(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    def made(name: str, **options: Any) -> Store:
        return analyze_dataset(analyzer, x, tmp_path / name, **{"unit": 8, **options})

    out = tmp_path / "joined.h5"
    whole, first, last = made("w", shard=None), made("0", shard=(0, 3)), made("2", shard=(2, 3))
    with pytest.raises(ValueError, match="there are no stores"):
        join_stores([], out)
    with pytest.raises(ValueError, match="is no shard"):
        join_stores([whole], out)
    with pytest.raises(ValueError, match="of 3 shards, those of the index 1 are missing"):
        join_stores([last, first], out)
    with pytest.raises(ValueError, match="are both shard 0 of 3"):
        join_stores([first, last, first], out)
    with pytest.raises(ValueError, match="the number of shards"):
        join_stores([first, made("1", shard=(1, 2))], out)
    with pytest.raises(ValueError, match="what is explained"):
        join_stores([first, made("t", shard=(1, 3), target=1)], out)
    with pytest.raises(InputError, match="50 samples are 7 units of 8, too few for 8 shards"):
        made("few", shard=(0, 8))
    for shard in ((2, 2), (-1, 2), (0, 1, 2), 3, (0.0, 1), (False, True)):
        with pytest.raises(ValueError, match="shard is"):
            made("wrong", shard=shard)
    assert {file.name for file in tmp_path.iterdir()} == {"w", "0", "1", "2", "t"}
