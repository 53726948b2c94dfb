"""The one door to what Keras does not offer on every backend: overriding, pulling back and compiling.

Nothing outside this package imports tensorflow or jax.
"""

from __future__ import annotations

import keras

if keras.backend.backend() == "tensorflow":
    from kerasexplain.backend.tensorflow import (
        check_eager,
        compiled,
        on_accelerator,
        override,
        pull_back,
        relevance_pass,
        transposed,
    )
else:
    raise ImportError(
        f"kerasexplain runs on the TensorFlow backend of Keras; this process uses {keras.backend.backend()!r}. "
        "Set the environment variable KERAS_BACKEND=tensorflow before Keras is imported."
    )

__all__ = ["check_eager", "compiled", "on_accelerator", "override", "pull_back", "relevance_pass", "transposed"]
