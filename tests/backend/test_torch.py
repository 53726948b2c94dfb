"""The PyTorch backend: overriding, pulling back and running; and that it is what it is for elsewhere."""

from __future__ import annotations

import contextlib
import gc
import os
import pathlib
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

if keras.backend.backend() != "torch":
    pytest.skip("tests of the PyTorch backend need KERAS_BACKEND=torch", allow_module_level=True)

import torch
from helpers import doubles

from kerasexplain import UnsupportedModelError, create_analyzer
from kerasexplain.backend import compiled, override, pull_back, relevance_pass, transposed


def tripled(x: torch.Tensor) -> torch.Tensor:
    """x ** 2, whose relevance pass multiplies the signal by 3 x instead of 2 x."""
    return override(lambda x: (x**2, x), lambda x, signal: [3 * x * signal], x)


def slope(x: torch.Tensor) -> torch.Tensor:
    """By PyTorch's own differentiation."""
    x = x if x.requires_grad else x.detach().requires_grad_()
    (given,) = torch.autograd.grad(tripled(x).sum(), x, create_graph=True)
    return given


def test_an_override_works_inside_a_relevance_pass_and_only_there() -> None:
    x = torch.tensor([2.0])
    assert slope(x) == 4.0
    with relevance_pass():
        assert slope(x) == 6.0
    assert slope(x) == 4.0


def test_the_pass_ends_when_an_error_ends_it() -> None:
    with pytest.raises(KeyError), relevance_pass():
        raise KeyError
    assert slope(torch.tensor([2.0])) == 4.0
    assert torch._C._is_multithreading_enabled()


def test_an_outer_derivative_sees_what_the_override_computes() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    with relevance_pass():
        relevance = slope(x)
    assert torch.autograd.grad(relevance, x)[0] == 3.0  # of 3 x, and not of 2 x


def test_the_backward_method_of_pytorch_gives_relevance_too() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    with relevance_pass():
        tripled(x).sum().backward()
    assert x.grad == 6.0


def test_what_is_recorded_in_a_pass_is_relevance_if_it_is_run_in_one() -> None:
    """The switch is asked when the gradient is taken, whenever the values were computed, and in whichever thread."""
    x = torch.tensor([2.0], requires_grad=True)
    with relevance_pass():
        y = tripled(x)
    assert torch.autograd.grad(y, x, retain_graph=True)[0] == 4.0
    seen = []

    def elsewhere() -> None:
        seen.append(float(torch.autograd.grad(y, x, retain_graph=True)[0]))
        with relevance_pass():
            seen.append(float(torch.autograd.grad(y, x, retain_graph=True)[0]))

    with relevance_pass():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        seen.append(float(torch.autograd.grad(y, x)[0]))
    assert seen == [4.0, 6.0, 6.0]


def test_a_pass_is_run_by_the_thread_that_asks_for_it() -> None:
    """On accelerators it would else be run by threads of PyTorch's own, in which no relevance pass is active."""
    ran = []

    def noted(x: torch.Tensor, signal: torch.Tensor) -> list[torch.Tensor]:
        # What a thread of PyTorch's own would be told by whoever starts it.
        ran.append((threading.get_ident(), torch._C._is_multithreading_enabled()))
        return [signal]

    x = torch.tensor([2.0], requires_grad=True)
    with relevance_pass():
        override(lambda x: (x**2, x), noted, x).backward()
    assert ran == [(threading.get_ident(), False)]


def test_an_input_that_gets_none_gets_nothing() -> None:
    with relevance_pass():
        product = lambda a, b: (override(lambda a, b: (a * b, None), lambda _, s: [s, None], a, b), None)  # noqa: E731
        _, _, pullback = pull_back(product, torch.tensor([2.0]), torch.tensor([5.0]))
        of_a, of_b = pullback(torch.tensor([1.0]))
    assert (of_a, of_b) == (1.0, 0.0)


def test_the_ordinary_path_is_not_computed_in_a_pass() -> None:
    ran = []

    class Noted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.set_materialize_grads(False)
            return x * 2

        @staticmethod
        def backward(ctx: Any, signal: torch.Tensor | None) -> Any:
            ran.append(signal is not None)
            return None if signal is None else signal * 2

    x = torch.tensor([2.0], requires_grad=True)
    with relevance_pass():
        override(lambda x: (Noted.apply(x), x), lambda x, signal: [signal], x).backward()
    assert not any(ran)


def test_pull_back_keeps_structures_and_gives_zeros_where_nothing_depends() -> None:
    def function(xs: list[torch.Tensor], unused: torch.Tensor) -> tuple[torch.Tensor, str]:
        return xs[0] * xs[1], "auxiliary"

    primals = [torch.tensor([2.0]), torch.tensor([5.0])], torch.tensor([[1.0, 2.0]])
    y, auxiliary, pullback = pull_back(function, *primals)
    assert y == 10.0
    assert auxiliary == "auxiliary"
    (of_first, of_second), of_unused = pullback(torch.tensor([3.0]))
    assert (of_first, of_second) == (15.0, 6.0)
    np.testing.assert_array_equal(of_unused, [[0.0, 0.0]])
    _, _, pullback = pull_back(lambda x: (torch.ones(1), None), torch.tensor([2.0]))
    assert pullback(torch.tensor([3.0])) == (0.0,)
    assert pull_back(lambda xs: (torch.ones(1), None), [])[2](torch.tensor([3.0])) == ([],)


@pytest.mark.parametrize("recorded", [False, True])
def test_what_is_pulled_back_can_be_differentiated_where_the_caller_is_recorded(recorded: bool) -> None:
    x = torch.tensor([2.0], requires_grad=True)
    with torch.set_grad_enabled(recorded):
        _, _, pullback = pull_back(lambda x: (x**3, None), x)
        (given,) = pullback(torch.ones(1))
    assert given == 12.0
    assert given.requires_grad == recorded
    if recorded:
        assert torch.autograd.grad(given, x)[0] == 12.0
    assert x.grad is None


def test_inference_mode_makes_no_relevance_zero(rng: np.random.Generator) -> None:
    model, x = keras.Sequential([keras.Input((3,)), layers.Dense(2)]), rng.normal(size=(4, 3)).astype("float32")
    analyzer, expected = create_analyzer("lrp.z", model), create_analyzer("lrp.z", model).analyze(x, 0)
    assert expected.all()
    with torch.inference_mode():
        np.testing.assert_array_equal(analyzer.analyze(x, 0), expected)
        with pytest.raises(RuntimeError, match="inference tensor"):
            pull_back(lambda x: (x**2, None), torch.ones(1))


def test_the_switch_is_seen_through_the_compiler_of_pytorch() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    function = torch.compile(lambda x: tripled(x).sum(), backend="aot_eager")
    found = []
    for active in (False, True, False):
        with relevance_pass() if active else contextlib.nullcontext():
            found.append(float(torch.autograd.grad(function(x), x)[0]))
    assert found == [4.0, 6.0, 4.0]


def test_transposed_is_the_transposed_product_whatever_x_holds(rng: np.random.Generator) -> None:
    matrix, s = torch.tensor(rng.normal(size=(4, 3))), torch.tensor(rng.normal(size=(2, 3)))
    for x in (np.zeros((2, 4)), rng.normal(size=(2, 4))):
        given = transposed(lambda x: x @ matrix, torch.tensor(x), s)
        np.testing.assert_allclose(given, s @ matrix.T, rtol=1e-12)


def test_a_function_serves_all_batch_sizes_and_sees_live_variables() -> None:
    variable = keras.Variable(2.0)

    def function(inputs: list[torch.Tensor]) -> dict[str, Any]:
        return {"product": variable * inputs[0], "sums": [inputs[1].sum(dim=1)]}

    run = compiled(function, False, [((None,), "float32"), ((None, 3), "float64")], [variable])
    for count in (1, 4, 2):
        answer = run([np.ones(count), np.ones((count, 3))])
        np.testing.assert_array_equal(answer["product"], np.full(count, 2.0, "float32"))
        np.testing.assert_array_equal(answer["sums"][0], np.full(count, 3.0))
        assert {type(answer["product"]), type(answer["sums"][0])} == {np.ndarray}
    variable.assign(7.0)
    assert run([np.ones(1), np.ones((1, 3))])["product"] == [7.0]
    assert run.traces == 1


def test_nothing_is_held_for_gradients_of_the_weights() -> None:
    variable = keras.Variable(np.ones((2, 2), "float32"))
    seen = []

    def function(inputs: list[torch.Tensor]) -> torch.Tensor:
        y, _, pullback = pull_back(lambda x: (x @ variable.value, None), inputs[0])
        seen.extend([variable.value.requires_grad, y.requires_grad])
        return pullback(y)[0]

    compiled(function, False, [((None, 2), "float32")], [variable])([np.ones((3, 2))])
    assert seen == [False, True]
    assert variable.value.requires_grad  # and it can still be trained


def test_what_is_returned_is_the_caller_s_own() -> None:
    given = np.ones((3, 2), "float32")
    (returned,) = compiled(lambda xs: [xs[0]], False, [((None, 2), "float32")])([given])
    returned += 1.0
    np.testing.assert_array_equal(given, np.ones((3, 2)))
    (half,) = compiled(lambda xs: [xs[0]], False, [((None, 2), "bfloat16")])([given])
    assert str(half.dtype) == "bfloat16"


def test_what_does_not_fit_into_memory_is_a_memory_error() -> None:
    def greedy(inputs: list[torch.Tensor]) -> torch.Tensor:
        return torch.empty(2**60)

    def accelerated(inputs: list[torch.Tensor]) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    for function in (greedy, accelerated):
        with pytest.raises(MemoryError, match="memory"):
            compiled(function, False, [])([])
    with pytest.raises(RuntimeError, match="shapes"):
        compiled(lambda xs: torch.ones(2, 3) @ torch.ones(2, 3), False, [])([])


def test_what_a_pass_held_is_free_when_it_is_over(rng: np.random.Generator) -> None:
    """And not when Python next collects cycles, until when the memory of a batch would not be there for the next."""
    inputs = keras.Input((6, 6, 2))
    x = layers.MaxPooling2D(2)(layers.Conv2D(3, 3, activation="relu")(inputs))
    model, x = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))), rng.normal(size=(4, 6, 6, 2))
    analyzers = [create_analyzer(name, model) for name in ("gradient", "lrp.epsilon", "lrp.alpha_2_beta_1", "lrp.flat")]
    for analyzer in analyzers:
        analyzer.analyze(x)
    gc.collect()
    gc.disable()
    try:
        for analyzer in analyzers:
            analyzer.analyze(x)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not any(isinstance(found, torch.Tensor) for found in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_xla_is_refused_at_once() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"PyTorch does not support jit_compile=True, .*: choose False or 'auto'"):
        create_analyzer("lrp.epsilon", model, jit_compile=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="about CPUs")
def test_a_precision_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(ValueError, match="PyTorch on cpu does not support precision='bfloat16': choose among 'auto'"):
        compiled(lambda xs: xs[0], False, [((None,), "float32")], precision="bfloat16")
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(ValueError, match=r"choose among 'auto', or call torch.set_float32_matmul_precision"):
            compiled(lambda xs: xs[0], False, [((None,), "float32")], precision="float32")
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(("on", "honoured"), [((True, True), "tensorfloat32"), ((False, False), "float32")])
def test_on_a_gpu_both_switches_decide_on_the_precision(
    on: tuple[bool, bool], honoured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import kerasexplain.backend.torch as backend

    monkeypatch.setattr(backend, "_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(allow_tf32=on[0]))
    monkeypatch.setattr(torch.backends, "cudnn", SimpleNamespace(allow_tf32=on[1]))
    backend.check_precision(honoured)
    backend.check_precision("auto")
    torch.backends.cudnn.allow_tf32 = not on[1]
    with pytest.raises(ValueError, match="choose among 'auto', or set both"):
        backend.check_precision(honoured)


def test_cross_products_are_refused() -> None:
    """With three samples Keras would mix them, on PyTorch, with two or four it would not."""
    x, y = keras.Input((5, 3)), keras.Input((5, 3))
    with pytest.raises(UnsupportedModelError, match="takes the first axis of size 3 for the vectors"):
        create_analyzer("lrp.z", keras.Model([x, y], ops.cross(x, y)), explain="activation")


def test_an_einsum_in_integers_is_refused() -> None:
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, layers.EinsumDense("abc,cd->abd", (None, 3), name="mixed")(inputs))
    model.get_layer("mixed").quantize("int8")
    with pytest.raises(UnsupportedModelError, match=r"'mixed' \(EinsumDense\) can neither be opened nor kept"):
        create_analyzer("lrp.z", model)


def test_a_layer_that_does_not_do_as_it_says_is_refused(rng: np.random.Generator) -> None:
    """LayerNormalization over an axis that is not the last: Keras takes the last, where the sizes fit."""
    inputs = keras.Input((4, 4))
    model = keras.Model(inputs, layers.Dense(2)(layers.LayerNormalization(axis=1)(inputs)))
    with pytest.raises(UnsupportedModelError, match="another output"):
        create_analyzer("lrp.epsilon", model).analyze(rng.normal(size=(2, 4, 4)))


def test_doubles_are_as_exact_as_keras_makes_them(rng: np.random.Generator) -> None:
    inputs = keras.Input((5, 6), dtype="float64")
    x = layers.LayerNormalization(dtype="float64")(inputs)
    x = layers.MultiHeadAttention(2, 3, dtype="float64")(x, x)
    x = layers.GlobalAveragePooling1D(dtype="float64")(x)
    model = keras.Model(inputs, layers.Dense(2, dtype="float64")(ops.tanh(x)))
    x = rng.normal(size=(3, 5, 6))
    exact = create_analyzer("lrp.epsilon", model).explain(x, 1)
    with doubles.given_up():
        rounded = create_analyzer("lrp.epsilon", model).explain(x, 1)  # and is not refused for it
    for one, other in ((exact.output, rounded.output), (exact.relevance, rounded.relevance)):
        error = np.abs(one - other).max() / np.abs(one).max()
        assert 1e-12 < error < 1e-5


def test_tensors_with_a_history_are_no_trouble(tmp_path: pathlib.Path) -> None:
    """In a process of its own, where they become no arrays by themselves, as they do in these tests."""
    code = """
        import keras, numpy as np, torch
        import kerasexplain
        from keras import layers
        inputs = keras.Input((6, 6, 2))
        x = layers.BatchNormalization()(layers.Conv2D(3, 3, activation="relu", name="conv")(inputs))
        model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        x, y = np.random.default_rng(0).normal(size=(20, 6, 6, 2)).astype("float32"), np.arange(20) % 2
        for recorded in (True, False):
            with torch.set_grad_enabled(recorded):
                for name in ("gradient", "lrp.epsilon_plus", "lrp.alpha_2_beta_1", "lrp.gamma", "lrp.flat",
                             "integrated_gradients", "deep_lift", "pattern.net", "occlusion", "grad_cam"):
                    analyzer = kerasexplain.create_analyzer(name, model)
                    if name == "pattern.net":
                        analyzer.fit(x)
                    given = torch.tensor(x[:3], requires_grad=True)
                    np.testing.assert_array_equal(analyzer.analyze(given), analyzer.analyze(x[:3]), err_msg=name)
                analyzer = kerasexplain.create_analyzer("lrp.epsilon", model, remat=True)
                assert analyzer.explain(x, layers=["conv"], bias=True).bias
                assert analyzer.audit(x).rows
        model.fit(x, y, verbose=0, callbacks=[
            kerasexplain.callbacks.RelevanceLogger("lrp.epsilon", data=(x, y), log_dir="logs"),
            kerasexplain.callbacks.RelevanceHistogram("lrp.epsilon", data=(x, y), log_dir="logs"),
        ])
        assert all(weight.value.requires_grad for weight in model.trainable_variables)
    """
    environment = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONWARNINGS": "error::UserWarning"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, cwd=tmp_path, check=True)
