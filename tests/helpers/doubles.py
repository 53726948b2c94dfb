"""Keras in double precision, off TensorFlow.

Off TensorFlow, Keras takes float64 for float32 wherever it promotes dtypes, so that means and normalisation are in
single precision, and on JAX the softmax of attention is so always (and is refused where values are of another size than
keys). A network in double precision is then itself 1e-7 off, and nothing could be compared with references to 1e-9. So
the tests have Keras compute in the precision it is asked for; in `backend/test_jax.py`,
`test_doubles_are_as_exact_as_keras_makes_them` has Keras as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

ON_JAX = keras.backend.backend() == "jax"

if ON_JAX:
    import jax
    import jax.numpy as jnp
    from keras.src.backend.jax import nn

    attention_of_keras = nn.dot_product_attention


def keep() -> None:
    """From now on float64 is float64."""
    BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    if ON_JAX:
        nn.dot_product_attention = _attention


@contextmanager
def given_up() -> Iterator[None]:
    """Keras as it is."""
    BIT64_TO_BIT32_DTYPE["float64"] = "float32"
    if ON_JAX:
        nn.dot_product_attention = attention_of_keras
    try:
        yield
    finally:
        keep()


def _attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    **options: Any,
) -> Any:
    if query.dtype != "float64":
        return attention_of_keras(query, key, value, bias, mask, scale, is_causal, **options)
    key, value = (jnp.repeat(x, query.shape[2] // x.shape[2], axis=2) for x in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = jnp.einsum("btnh,bsnh->bnts", query, key) * jnp.float32(scale).astype("float64")
    scores = scores if bias is None else scores + bias
    allowed = jnp.ones(scores.shape[2:], bool)
    allowed = jnp.tril(allowed) if is_causal else allowed
    allowed = allowed if mask is None else allowed & mask
    return jnp.einsum("bnts,bsnh->btnh", jax.nn.softmax(jnp.where(allowed, scores, -1e30)), value)
