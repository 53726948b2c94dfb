"""One example for every layer of `keras.layers` and every function of `keras.ops`: the tests run them, and the table
of what is supported (docs/support.md) is made from them.

Keras versions differ in what they have: an example is built only when it is asked for.
"""

from __future__ import annotations

from helpers.operations import of_functions, of_layers
from helpers.operations.example import Example

EXAMPLES: list[Example] = [*of_layers.EXAMPLES, *of_functions.EXAMPLES]

__all__ = ["EXAMPLES", "Example"]
