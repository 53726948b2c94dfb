"""Adapters to libraries that evaluate explanations, or run them: import that of one, `kerasexplain.adapters.quantus`.

The libraries themselves are never imported here. Xplique needs no adapter: an analyzer is the callable that it takes.
"""
