"""The one door to what Keras does not offer on every backend: overriding, pulling back and compiling.

Nothing outside this package imports tensorflow or jax.
"""

from __future__ import annotations

import keras

from kerasexplain.backend.switch import relevance_pass

if keras.backend.backend() == "tensorflow":
    from kerasexplain.backend.tensorflow import (
        check_eager,
        check_precision,
        compiled,
        delayed,
        free_memory,
        in_doubles,
        on_accelerator,
        override,
        pull_back,
        states,
        transposed,
    )
elif keras.backend.backend() == "jax":
    from kerasexplain.backend.jax import (  # type: ignore[assignment]
        check_eager,
        check_precision,
        compiled,
        delayed,
        free_memory,
        in_doubles,
        on_accelerator,
        override,
        pull_back,
        states,
        transposed,
    )
else:
    raise ImportError(
        "kerasexplain runs on the TensorFlow and JAX backends of Keras; this process uses "
        f"{keras.backend.backend()!r}. Set the environment variable KERAS_BACKEND to 'tensorflow' or 'jax' before "
        "Keras is imported; pip install 'kerasexplain[tensorflow]' or 'kerasexplain[jax]' installs them."
    )

__all__ = [
    "check_eager",
    "check_precision",
    "compiled",
    "delayed",
    "free_memory",
    "in_doubles",
    "on_accelerator",
    "override",
    "pull_back",
    "relevance_pass",
    "states",
    "transposed",
]
