"""What the first question of every kind costs: `python -m benchmarks.questions`.

Processor time of the first call of a new analyzer, and of the first question of each further kind in units of it; then
the same questions asked again, in units of the plain map asked again. Every round has a new analyzer of the same model,
and medians of the rounds are printed. In the first round of a process the first call takes longer than later, so that
its ratios, printed beside, are smaller.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.speed import sample
from benchmarks.timing import ratio


def processor_seconds(run: Callable[[], Any]) -> float:
    """The time that all threads of this process spend on a call."""
    gc.collect()  # what others have left is not counted
    begin = time.process_time()
    run()
    return time.process_time() - begin


def one_round(model: Any, x: Any, method: str, jit_compile: bool | str) -> dict[str, tuple[float, float]]:
    """The first call of every kind of question and the next, by the kind; the first of all includes the analyzer."""
    from kerasexplain import create_analyzer

    made: list[Any] = []

    def first() -> None:
        made.append(create_analyzer(method, model, jit_compile=jit_compile))
        made[0].analyze(x)

    seconds = processor_seconds(first)
    (analyzer,) = made
    at = [analyzer.rows[len(analyzer.rows) * part // 4].name for part in (1, 2, 3)]
    kinds: dict[str, Callable[[], Any]] = {
        "index": lambda: analyzer.analyze(x, 3),
        "layer": lambda: analyzer.explain(x, layers=at[1]),
        "other layers": lambda: analyzer.explain(x, layers=[at[0], at[2]]),
        "bias": lambda: analyzer.explain(x, bias=True),
        "audit": lambda: analyzer.audit(x),
    }
    found = {"map": (seconds, processor_seconds(lambda: analyzer.analyze(x)))}
    for kind, run in kinds.items():
        found[kind] = (processor_seconds(run), processor_seconds(run))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="MobileNetV2", help="of `keras.applications`, or ViT-S")
    parser.add_argument("--analyzer", default="lrp.epsilon")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--xla", action="store_true", help="compile by XLA, which TensorFlow does not on CPUs")
    options = parser.parse_args()

    from benchmarks.networks import network
    from kerasexplain import create_analyzer

    model, x = network(options.network), sample(options.batch)
    count = len(create_analyzer(options.analyzer, model).rows)
    jit_compile = True if options.xla else "auto"
    rounds = [one_round(model, x, options.analyzer, jit_compile) for _ in range(options.rounds)]
    firsts, agains = ({kind: [part[kind][i] for part in rounds] for kind in rounds[0]} for i in (0, 1))
    first, again = statistics.median(firsts["map"]), statistics.median(agains["map"])
    print(f"{options.network}, {options.analyzer}, {count} operations: first call {first:.2f} s, again {again:.2f} s")
    for kind in firsts:
        cost, begin = ratio(firsts[kind], firsts["map"]), firsts[kind][0] / firsts["map"][0]
        repeated = ratio(agains[kind], agains["map"])
        line = f"  {kind:12} {cost:5.2f} ({begin:.2f} in the first round), {statistics.median(firsts[kind]):5.2f} s"
        print(f"{line}; again {repeated:5.2f}")


if __name__ == "__main__":
    main()
