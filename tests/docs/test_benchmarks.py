"""The arithmetic of the benchmarks, on numbers that were not measured."""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[2]))  # last: the package itself is the installed one

from benchmarks import history, peers, scaling, timing
from benchmarks.environments import Environment

pytestmark = pytest.mark.once("benchmarks are measured on TensorFlow first")


def test_ratio_is_of_the_same_round() -> None:
    # The machine was three times slower in the second round: each round still says 2.
    assert timing.ratio([2.0, 6.0, 2.2], [1.0, 3.0, 1.1]) == pytest.approx(2.0)


def test_measures_take_turns() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    times = timing.in_turns({name: lambda name=name: measure(name) for name in "ab"}, 2)
    assert order == ["a", "b", "a", "b"]
    assert times == {"a": [1.0, 3.0], "b": [2.0, 4.0]}


def test_table_of_peers() -> None:
    times = {
        ("kerasexplain", "forward"): [0.1, 0.1, 0.2],
        ("kerasexplain", "gradient"): [0.2, 0.2, 0.4],
        ("kerasexplain", "epsilon"): [0.3, 0.3, 0.6],
        ("other", "forward"): [0.2, 0.2, 0.4],
        ("other", "forward, at its best"): [0.1, 0.1, 0.2],
        ("other", "gradient"): [0.4, 0.4, 0.8],
        ("other", "gradient, at its best"): [0.2, 0.2, 0.4],
        ("other", "epsilon"): [1.2, 1.2, 2.4],
        ("other", "epsilon, at its best"): [0.9, 0.9, 1.8],
    }
    rows = peers.table(times, {("other", "epsilon"): 2e-9}, {("other", "epsilon, at its best"): "channels last"})
    assert rows[-3:] == [
        "| epsilon | kerasexplain | 300 ms | 3.00 | 1.50 |  |  |",
        "| epsilon | other | 1200 ms | 6.00 | 3.00 | 4.00 | 2e-09 |",
        "| epsilon | other, at its best (channels last) | 900 ms | 9.00 | 4.50 | 3.00 |  |",
    ]


def test_one_variant_has_to_give_our_numbers() -> None:
    agreement = {("a", "m"): 1e-2, ("a", "m, at its best"): 1e-9, ("b", "m"): 1e-4, ("b", "n"): 0.0}
    assert peers.too_far(agreement, 1e-6) == ["m of b differs by 1e-04"]


def entry(ratio: float, **changes: object) -> history.Entry:
    machine = {"processor": "P", "cores": 2}
    same = {"date": "2026-01-01", "commit": "abc", "machine": machine, "batch": 4}
    return {**same, "ratios": {"VGG16": {"lrp.epsilon": ratio, "lrp.z_plus": 1.5}}, **changes}


@pytest.mark.parametrize(("ratio", "fails"), [(1.11, True), (1.09, False), (0.5, False)])
def test_a_ratio_that_grew_by_more_than_a_tenth_fails(ratio: float, fails: bool, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("".join(json.dumps(old) + "\n" for old in (entry(1.0), entry(ratio))))
    if not fails:
        history.main(["--compare", "--file", str(file)])
        return
    with pytest.raises(SystemExit) as stopped:
        history.main(["--compare", "--file", str(file)])
    assert stopped.value.code == 1


def test_only_the_same_kind_of_machine_is_compared() -> None:
    other = entry(1.0, machine={"processor": "P", "cores": 8})
    assert history.comparable([entry(1.0), other, entry(1.0, batch=8)], entry(1.0)) == entry(1.0)
    assert history.comparable([other], entry(1.0)) is None


def test_what_grew_is_named() -> None:
    assert history.grown(entry(1.0), entry(1.2)) == ["VGG16, lrp.epsilon: 1.00 -> 1.20 (+20%)"]
    assert history.grown(entry(1.0), entry(9.0, ratios={"ResNet50": {"lrp.epsilon": 9.0}})) == []


def test_slope_of_a_power_law() -> None:
    values = np.array([1, 2, 4, 8, 16, 32])
    assert scaling.slope(values, 3.0 * values**2) == pytest.approx(2)
    # A fixed cost of 5 flattens the first half, which is not fitted.
    assert scaling.slope(values, np.maximum(5.0, values)) == pytest.approx(1)


def test_an_environment_needs_a_python_that_suits(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"old==1 needs Python 2\.6 to 2\.7.*--python"):
        Environment("old", ("old==1",), (2, 6), (2, 7)).interpreter(tmp_path, [sys.executable])


def test_an_environment_that_is_there_is_kept(tmp_path: pathlib.Path) -> None:
    there = tmp_path / "torch"
    there.mkdir()
    (there / "pins.txt").write_text("a==1\nb==2")
    python = Environment("torch", ("a==1", "b==2"), (2, 6), (2, 7)).interpreter(tmp_path, [sys.executable])
    assert python == str(there / "bin" / "python")
