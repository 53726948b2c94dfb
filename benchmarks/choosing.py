"""Whether what `choose` finds is better on photographs that it has not seen: two folds on a MobileNetV2.

    python -m benchmarks.choosing REFERENCE            # the folder that holds nets/nets.py; ten minutes a fold, at most

Each half of the photographs is explained by what was chosen on the other half. The area over the perturbation curve, of
60 regions of 9 x 9 pixels, is compared photograph by photograph with random orders (mean of three), with
`lrp.epsilon_plus` and with `deep_lift`, under noise and under a blur. The network is not in the repository.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FILLS = ("uniform", "blur")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=pathlib.Path, help="the folder that holds nets/nets.py")
    parser.add_argument("--seconds", type=float, default=600.0, help="of each fold")
    parser.add_argument("--seed", type=int, default=0, help="of the folds and of the search")
    options = parser.parse_args()
    sys.path.insert(0, str(options.reference / "nets"))

    import keras
    import nets
    import numpy as np

    import kerasexplain
    from kerasexplain import Analyzer, create_analyzer
    from kerasexplain.compiler.options import Options
    from kerasexplain.metrics import RegionPerturbation, judge
    from kerasexplain.metrics.value import ExplainedValue

    model, _ = nets.build("imagenet_mobilenetv2_224")
    with np.load(options.reference / "nets" / "photos256.npz") as photographs:
        images = np.stack([photographs[name] for name in photographs.files]).astype("float32")
    x = np.asarray(keras.ops.convert_to_numpy(keras.ops.image.resize(images, (224, 224)))) / 127.5 - 1
    value = ExplainedValue(model, Options())
    metrics = [RegionPerturbation(fill=fill, size=9, steps=60) for fill in FILLS]

    def areas(analyzer: Analyzer, rows: np.ndarray) -> np.ndarray:
        return np.stack([s.values for s in judge(analyzer, metrics, x[rows], background=x, value=value)])

    order = np.random.default_rng(options.seed).permutation(len(x))
    halves = np.sort(order[: len(x) // 2 + 1]), np.sort(order[len(x) // 2 + 1 :])
    chosen = np.zeros((len(FILLS), len(x)))
    for half, other in (halves, halves[::-1]):
        begin = time.perf_counter()
        choice = kerasexplain.choose(model, x[half], seconds=options.seconds, seed=options.seed, verbose=1)
        print(choice, f"{len(choice.table)} candidates, {time.perf_counter() - begin:.0f} s", sep="\n", flush=True)
        chosen[:, other] = areas(choice.analyzer, other)
    every = np.arange(len(x))
    random = np.mean([areas(create_analyzer("random", model, seed=seed), every) for seed in range(3)], axis=0)
    plus, lift = (areas(create_analyzer(name, model), every) for name in ("lrp.epsilon_plus", "deep_lift"))
    differences = {
        "chosen less random": chosen - random,
        "lrp.epsilon_plus less random": plus - random,
        "deep_lift less random": lift - random,
        "chosen less lrp.epsilon_plus": chosen - plus,
    }
    for name, difference in differences.items():
        for fill, each in zip(FILLS, difference, strict=True):
            error = each.std(ddof=1) / np.sqrt(len(each))
            print(f"{name}, {fill}: {each.mean():+.2f} ({error:.2f}), {(each > 0).sum()} of {len(each)} photographs")


if __name__ == "__main__":
    main()
