"""Checks for any model: it is explained as it computes, or refused in words that name the operation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from helpers.backends import gradients
from helpers.fuzz.generator import Case, case
from kerasexplain import Explanation, NotFiniteError, UnsupportedModelError, create_analyzer
from kerasexplain.analyzer import Analyzer

#: Analyzers that are tried besides `lrp.bias_as_input` and `gradient`, one for each model.
OTHERS = (
    *("lrp.epsilon", "lrp.z_plus", "lrp.alpha_2_beta_1", "lrp.gamma", "lrp.epsilon_plus_flat", "lrp.attention"),
    *("deep_taylor", "excitation_backprop", "input_t_gradient"),
)
#: What a refusal may not consist of.
RAW = ("KerasTensor", "Failed to convert", "IndexedSlices", "InvalidArgument", "object has no attribute", "\x1b")


def check(seed: int) -> str:
    """Explains the model of a seed in several ways; what became of it: "ran", or "refused" and why.

    Raises:
        AssertionError: Something that must hold does not.
    """
    given = case(seed)
    try:
        given.model(keras.tree.map_structure(lambda x: x[:3], given.x), training=False)  # shapes may fit by chance
        expected = given.model(given.x, training=False)
    except Exception:  # of the backend: the mask of a layer inside TimeDistributed has too many axes, say
        return "refused: Keras itself does not run the model"
    expected = np.asarray(ops.convert_to_numpy(keras.tree.flatten(expected)[0]), "float64")
    name = OTHERS[seed % len(OTHERS)]
    if not np.isfinite(expected).all():
        return "refused: the model's own output is not finite"
    try:
        found = create_analyzer("lrp.bias_as_input", given.model).explain(given.x, 1, bias=True)
        _check_sum(given, found)
        _check_output(given, found, expected)
        _check_gradient(given)
        _check_repeated(given, create_analyzer(name, given.model), expected)
    except UnsupportedModelError as error:
        text = str(error)
        assert not any(raw in text for raw in RAW), f"refused in raw words: {text}"
        assert "gives another output" not in text, text
        operations = [line.strip() for line in text.splitlines()[1:] if "): " in line]
        assert operations, f"refused without an operation: {text}"
        return f"refused: {operations[0].split('(', 1)[1].split(')', 1)[0]}"
    except NotFiniteError:
        return "refused: relevance overflows"
    return "ran"


def _check_output(given: Case, found: Explanation, expected: np.ndarray) -> None:
    output = np.asarray(keras.tree.flatten(found.output)[0], "float64")
    tolerance = 1e-9 if given.dtype == "float64" else 1e-4
    _close(output, expected, tolerance, "the output")


def _check_sum(given: Case, found: Explanation) -> None:
    parts = [np.asarray(part, "float64") for part in [*keras.tree.flatten(found.relevance), *found.bias.values()]]
    total = sum(part.reshape(len(part), -1).sum(axis=1) for part in parts)
    size = sum(np.abs(part).reshape(len(part), -1).sum(axis=1) for part in parts)
    gap = np.abs(total - found.explained) / np.maximum(size, np.abs(found.explained) + 1e-30)
    limit = 1e-9 if given.dtype == "float64" else 1e-4
    assert gap.max() < limit, f"inputs and biases miss what is explained by {gap.max():.1e} of their size"


def _check_gradient(given: Case) -> None:
    arrays = keras.tree.flatten(given.x)
    # Logits are set aside in the analyzer: the gradient is that of the model's own output.
    found = create_analyzer("gradient", given.model, explain="activation").analyze(given.x, 1)
    inputs = given.model.inputs
    real = [i for i, x in enumerate(inputs) if "float" in str(x.dtype) and given.real[i].any()]
    attends = any(isinstance(layer, keras.layers.MultiHeadAttention) for layer in given.model._flatten_layers())
    if not real or (attends and keras.backend.backend() == "torch"):
        return  # PyTorch's own gradient of a query that sees nothing is another: see tests/compiler/test_masks.py

    def of(*xs: Any) -> Any:
        filled = [xs[real.index(i)] if i in real else ops.convert_to_tensor(x) for i, x in enumerate(arrays)]
        return keras.tree.flatten(given.model(filled if len(filled) > 1 else filled[0], training=False))[0][..., 1]

    _, expected = gradients(of, *(arrays[i] for i in real))
    for i, gradient in zip(real, expected, strict=True):
        got = np.where(given.real[i], keras.tree.flatten(found)[i], 0)
        wanted = np.asarray(ops.convert_to_numpy(gradient))
        # Where the gradient is zero, in front of a normalisation of one number, say, both hold rounding: of single
        # precision some 1e-7, for numbers of the size of 1.
        _close(got, wanted, 1e-8 if given.dtype == "float64" else 1e-3, "the gradient", least=1e-3)


def _check_repeated(given: Case, analyzer: Analyzer, expected: np.ndarray) -> None:
    first, again = (keras.tree.flatten(analyzer.analyze(given.x, 1)) for _ in range(2))
    # What cancels in exact numbers, in front of a normalisation of each token, say, holds the rounding of the output.
    least = 1e-5 * float(np.abs(expected).max())
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=f"{analyzer.name}: the second answer is another one")
    # Twice: of one sample, Keras' addition on TensorFlow takes an operand for a bias where nothing is compiled (3.15).
    alone = keras.tree.map_structure(lambda x: x[[2, 2]], given.x)
    for row, whole in zip(keras.tree.flatten(analyzer.analyze(alone, 1)), first, strict=True):
        limit = 1e-7 if given.dtype == "float64" else 1e-2
        what = f"{analyzer.name} of one sample, against a row of many"
        _close(np.asarray(row)[1], np.asarray(whole)[2], limit, what, least)
    copied = Analyzer.from_config(analyzer.get_config(), given.model)
    assert copied == analyzer, f"{analyzer.name}: saved and loaded it is another one"


def _close(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str, least: float = 1e-30) -> None:
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    size = max(float(np.abs(expected).max(initial=0.0)), least)
    error = float(np.abs(np.asarray(found, "float64") - expected).max(initial=0.0)) / size
    assert np.isfinite(error), f"{what} is not finite"
    assert error <= tolerance, f"{what} differs by {error:.1e} of the largest"
