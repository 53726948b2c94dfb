"""Adapters to libraries that evaluate explanations: import the module of the library, `kerasexplain.adapters.quantus`.

The libraries themselves are never imported here. Xplique needs no adapter: an analyzer is the callable that it takes.
"""
