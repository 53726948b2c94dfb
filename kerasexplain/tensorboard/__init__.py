"""TensorBoard: what writes events for it, without TensorFlow, and a tab of its own that shows relevance.

Nothing is imported here: TensorBoard loads the tab from this package, and must not load Keras with it.
"""
