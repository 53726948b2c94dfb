"""`deep_lift` against the DeepExplainer of shap, on the same networks with the same weights, in float64.

    pip install shap torch                                                  # in an environment of its own, say `other`
    python -m benchmarks.shap_deeplift --shap-python other/bin/python

shap's explainer of TensorFlow models does not work with Keras 3, and changes TensorFlow's gradients in its process. So
weights and inputs are written to a file, a second interpreter explains the same networks built in PyTorch, and what
it found is compared here. A line per network and choice of baselines tells the largest difference between the two, and
by how much relevance does not add up to the change of the output, both relative to the largest |R|.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

Arrays = Mapping[str, np.ndarray]
SAMPLES, BASELINES, OUTPUTS = 6, 5, 4

#: Layers in order: "conv" and "dense" with the number of their outputs, and layers without weights.
NETWORKS: dict[str, tuple[str, ...]] = {
    "mlp": ("dense 32", "relu", "dense 16", "relu", f"dense {OUTPUTS}"),
    "cnn": (
        *("conv 8", "relu", "maxpool", "conv 12", "relu", "maxpool", "flatten"),
        *("dense 16", "relu", f"dense {OUTPUTS}"),
    ),
    # Maxima over numbers of both signs.
    "cnn, pooled before relu": (
        "conv 8",
        "maxpool",
        "relu",
        "conv 12",
        "maxpool",
        "relu",
        "flatten",
        f"dense {OUTPUTS}",
    ),
}
SHAPES = {"mlp": (20,), "cnn": (12, 12, 3), "cnn, pooled before relu": (12, 12, 3)}


def keras_network(name: str) -> Any:
    """The network in Keras, with random weights and biases."""
    import keras

    def layer(step: str) -> Any:
        kind, _, size = step.partition(" ")
        if kind == "conv":
            return keras.layers.Conv2D(int(size), 3, padding="same", dtype="float64")
        if kind == "dense":
            return keras.layers.Dense(int(size), dtype="float64")
        plain = {"relu": keras.layers.ReLU, "maxpool": keras.layers.MaxPooling2D, "flatten": keras.layers.Flatten}
        return plain[kind](dtype="float64")

    model = keras.Sequential([keras.Input(SHAPES[name], dtype="float64"), *map(layer, NETWORKS[name])])
    rng = np.random.default_rng(0)
    for weight in model.weights:
        fan_in = max(int(np.prod(weight.shape[:-1])), 10)
        weight.assign(rng.normal(0, fan_in**-0.5, weight.shape))
    return model


def weights(model: Any, name: str) -> dict[str, np.ndarray]:
    """Kernels and biases by position. The kernel behind a Flatten keeps the axes that were flattened."""
    found: dict[str, np.ndarray] = {}
    flattened: tuple[int, ...] = ()
    for index, layer in enumerate(model.layers):
        if NETWORKS[name][index] == "flatten":
            flattened = tuple(layer.input.shape[1:])
        elif layer.weights:
            kernel, bias = map(np.asarray, layer.get_weights())
            if flattened:
                kernel, flattened = kernel.reshape(*flattened, -1), ()
            found |= {f"{name}/kernel {index}": kernel, f"{name}/bias {index}": bias}
    return found


def torch_network(name: str, arrays: Arrays) -> Any:
    """The same network in PyTorch, where channels come first."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    steps: list[Any] = []
    for index, step in enumerate(NETWORKS[name]):
        kind = step.partition(" ")[0]
        if kind not in ("conv", "dense"):
            plain = {"relu": torch.nn.ReLU, "maxpool": lambda: torch.nn.MaxPool2d(2), "flatten": torch.nn.Flatten}
            steps.append(plain[kind]())
            continue
        kernel, bias = arrays[f"{name}/kernel {index}"], arrays[f"{name}/bias {index}"]
        if kind == "conv":
            kernel = kernel.transpose(3, 2, 0, 1)
            module = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        else:
            channels_first = np.moveaxis(kernel, -2, 0)
            kernel = channels_first.reshape(-1, kernel.shape[-1]).T
            module = torch.nn.Linear(kernel.shape[1], kernel.shape[0])
        module.weight = torch.nn.Parameter(torch.tensor(kernel.copy()))
        module.bias = torch.nn.Parameter(torch.tensor(bias))
        steps.append(module)
    return torch.nn.Sequential(*steps).double().eval()


def cases(name: str, arrays: Arrays) -> dict[str, np.ndarray]:
    """The baselines of every case: `(baselines, *shape)`."""
    given = arrays[f"{name}/baselines"]
    return {"zeros": np.zeros_like(given[:1]), f"mean of {len(given)}": given}


def explain_by_shap(read: pathlib.Path, write: pathlib.Path) -> None:
    """The part that runs in the other interpreter: `(outputs, samples, *shape)` for every network and case."""
    import shap  # type: ignore[import-not-found, unused-ignore]
    import torch  # type: ignore[import-not-found, unused-ignore]

    torch.set_num_threads(1)
    with np.load(read) as file:
        arrays = dict(file)

    def tensor(x: np.ndarray) -> Any:
        return torch.tensor(np.moveaxis(x, -1, 1).copy())

    results: dict[str, Any] = {}
    for name in NETWORKS:
        model = torch_network(name, arrays)
        x = tensor(arrays[f"{name}/x"])
        results[f"{name}/y"] = model(x).detach().numpy()
        for case, baselines in cases(name, arrays).items():
            values = shap.DeepExplainer(model, tensor(baselines)).shap_values(x)
            # shap puts outputs last; a channel axis that came first goes back behind the pixels.
            results[f"{name}/{case}"] = np.moveaxis(np.moveaxis(values, -1, 0), 2, -1)
    np.savez(write, **results)


def compare(shap_python: str, folder: pathlib.Path) -> float:
    """Prints a line per network and case, and returns the largest difference.

    Raises:
        ValueError: The two networks have different outputs, so that there is nothing to compare.
    """
    import kerasexplain

    rng = np.random.default_rng(1)
    models = {name: keras_network(name) for name in NETWORKS}
    arrays: dict[str, Any] = {}
    for name, model in models.items():
        arrays |= weights(model, name)
        arrays[f"{name}/x"] = rng.normal(size=(SAMPLES, *SHAPES[name]))
        arrays[f"{name}/baselines"] = rng.normal(size=(BASELINES, *SHAPES[name]))
    np.savez(folder / "networks.npz", **arrays)
    files = [str(folder / "networks.npz"), str(folder / "shap.npz")]
    subprocess.run([shap_python, __file__, "--only", *files], check=True)
    with np.load(files[1]) as file:
        expected = dict(file)

    worst = 0.0
    for name, model in models.items():
        x = arrays[f"{name}/x"]
        y = np.asarray(model(x))  # `predict` would round the input to float32
        if not np.allclose(y, expected[f"{name}/y"], rtol=0, atol=1e-12):
            raise ValueError(f"the {name} in PyTorch is not the one in Keras: their outputs differ")
        for case, baselines in cases(name, arrays).items():
            # Of candidates that tie, as most do at a constant baseline, shap takes the first; the limit shares.
            maximum = kerasexplain.rules.SoftmaxLimit(ties="first")
            analyzer = kerasexplain.create_analyzer("deep_lift", model, reference_inputs=baselines, maximum=maximum)
            found = np.stack([analyzer.analyze(x, neuron_selection=index) for index in range(OUTPUTS)])
            scale = np.abs(expected[f"{name}/{case}"]).max()
            difference = np.abs(found - expected[f"{name}/{case}"]).max() / scale
            change = (y - np.asarray(model(baselines)).mean(axis=0)).T
            left = np.abs(found.reshape(*change.shape, -1).sum(axis=-1) - change).max() / scale
            print(f"{name:24} baselines: {case:10} difference {difference:.1e}   not balanced {left:.1e}")
            worst = max(worst, float(difference))
    return worst


def main(arguments: Sequence[str] | None = None) -> None:
    """Compares, and fails if something differs by more than the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shap-python", default=sys.executable, help="an interpreter that has shap and torch")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="what may differ, relative to the largest |R|")
    parser.add_argument("--only", nargs=2, type=pathlib.Path, help=argparse.SUPPRESS)  # in the other interpreter
    options = parser.parse_args(arguments)
    if options.only:
        explain_by_shap(*options.only)
        return
    with tempfile.TemporaryDirectory() as folder:
        worst = compare(options.shap_python, pathlib.Path(folder))
    if worst > options.tolerance:
        raise SystemExit(f"deep_lift differs from shap by {worst:.1e}")


if __name__ == "__main__":
    main()
