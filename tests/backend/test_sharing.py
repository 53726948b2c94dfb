"""Devices share a batch under TensorFlow's `MirroredStrategy` and Keras' `DataParallel`: the numbers are those of one.

How many devices a process has is decided before a framework begins, so that this takes processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import keras
import pytest

BEGIN = """
import os, keras, numpy as np
from kerasexplain import create_analyzer

def made():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    return keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(keras.layers.Flatten()(x)))

x = np.random.default_rng(0).normal(size=(10, 8, 8, 3)).astype("float32")
asked = {"layers": ["conv"], "bias": True, "audit": True}

def same(one, shared, compiles=()):
    analyzers = [("lrp.epsilon", {}), ("deep_lift", {}), ("smoothgrad", {"seed": 1, "augment_by_n": 3})]
    for name, options in (*analyzers, *(("lrp.epsilon_plus", {"jit_compile": jit}) for jit in compiles)):
        first, second = (create_analyzer(name, model, **options) for model in (one, shared))
        for count, size in ((10, 3), (1, 1)):
            a, b = (each.analyze(x[:count], np.arange(count) % 5, batch_size=size) for each in (first, second))
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * np.abs(a).max())
    a, b = (create_analyzer("lrp.epsilon", model).explain(x, **asked) for model in (one, shared))
    for one, other in ((a.layers["conv"], b.layers["conv"]), (a.output, b.output), (a.audit.lost, b.audit.lost)):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
"""


def run(code: str, **environment: str) -> str:
    """The output of a process of its own."""
    found = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strategies are TensorFlow's")
def test_a_mirrored_strategy() -> None:
    said = run("""
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        one = made()
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            shared = made()
        same(one, shared, compiles=[True])
        analyzer = create_analyzer("lrp.epsilon", shared)
        analyzer.analyze(x)
        program = analyzer._engine.pipelines().first.program
        function, = program._functions.values()
        graph = function._concrete.graph
        handles = {op.inputs[0].name for op in graph.get_operations() if op.type == "ReadVariableOp"}
        products = {op.device[-5:] for op in graph.get_operations() if op.type == "Conv2D"}
        print(program.sharing, sorted(products), len(handles), analyzer.traces)
        before = analyzer.analyze(x)
        shared.layers[1].kernel.assign(2 * shared.layers[1].kernel)  # in every copy
        one.layers[1].kernel.assign(2 * one.layers[1].kernel)
        after = analyzer.analyze(x)
        assert np.abs(after - before).max() > 1e-3
        np.testing.assert_allclose(after, create_analyzer("lrp.epsilon", one).analyze(x), atol=1e-6)
    """)
    assert said.split("\n")[0] == "2 ['CPU:0', 'CPU:1'] 8 2"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strategies are TensorFlow's")
def test_statistics_that_every_device_has_gathered_for_itself() -> None:
    run("""
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

        def normalised():
            keras.utils.set_random_seed(0)
            inputs = keras.Input((5,))
            x = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Dense(4)(inputs))
            return keras.Model(inputs, keras.layers.Dense(3)(x))

        x = np.random.default_rng(0).normal(size=(32, 5)).astype("float32")
        x[1::2] *= 5
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            shared = normalised()
            before = create_analyzer("lrp.epsilon", shared)
            before.analyze(x)
            shared.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            shared.fit(x, np.arange(32) % 3, batch_size=8, verbose=0)
        first, second = (copy.numpy() for copy in shared.layers[2].moving_mean.value.values)
        assert np.abs(first - second).max() > 0.1
        one = normalised()
        one.set_weights(shared.get_weights())
        expected = create_analyzer("lrp.epsilon", one).explain(x)
        for analyzer in (before, create_analyzer("lrp.epsilon", shared)):
            found = analyzer.explain(x)
            np.testing.assert_allclose(found.output, expected.output, atol=1e-5)
            np.testing.assert_allclose(found.relevance, expected.relevance, atol=1e-5)
    """)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras distributes arrays on JAX")
def test_data_parallel() -> None:
    said = run(
        """
        one = made()
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
        shared = made()
        analyzer = create_analyzer("lrp.epsilon_plus", shared)
        analyzer.analyze(x)
        program = analyzer._engine.pipelines().first.program
        function, = program._functions.values()
        operands = function._arguments([np.repeat(x[:1], 8, 0), np.full(8, -1), np.zeros((8, 1))])
        result = function._function(*operands)["relevance"][0]
        rows = [shard.data.shape[0] for shard in result.addressable_shards]
        print(program.sharing, tuple(result.sharding.spec), rows)
        assert create_analyzer("lrp.epsilon", one).analyze(x).shape == x.shape  # made before, and not distributed
        same(one, shared)
        """,
        XLA_FLAGS="--xla_force_host_platform_device_count=4",
    )
    assert said.split("\n")[0].startswith("4 ('batch',) [2, 2, 2, 2]")
