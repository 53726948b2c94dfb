"""The one door to what Keras does not offer on every backend: overriding, pulling back and compiling.

Nothing outside this package imports tensorflow, jax or torch.
"""

from __future__ import annotations

import keras

from kerasexplain.backend.switch import relevance_pass

if keras.backend.backend() == "tensorflow":
    from kerasexplain.backend.tensorflow import (
        by_xla,
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
        by_xla,
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
elif keras.backend.backend() == "torch":
    from kerasexplain.backend.torch import (  # type: ignore[assignment]
        by_xla,
        check_eager,
        check_precision,
        compiled,
        delayed,
        free_memory,
        in_doubles,
        on_accelerator,
        override,
        pull_back,
        relevance_pass,
        states,
        transposed,
    )
else:
    raise ImportError(
        "kerasexplain runs on the TensorFlow, JAX and PyTorch backends of Keras; this process uses "
        f"{keras.backend.backend()!r}. Set the environment variable KERAS_BACKEND to 'tensorflow', 'jax' or 'torch' "
        "before Keras is imported; pip install 'kerasexplain[tensorflow]', 'kerasexplain[jax]' or "
        "'kerasexplain[torch]' installs them."
    )

__all__ = [
    "by_xla",
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
