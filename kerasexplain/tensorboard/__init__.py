"""TensorBoard: a writer of events that needs no TensorFlow, and a tab that shows relevance.

Nothing is imported here: TensorBoard loads the tab from this package, and must not load Keras with it.
"""
