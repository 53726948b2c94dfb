"""The front end for code of TensorFlow: what runs on none of Keras' symbolic tensors is traced by TensorFlow.

Its graph is run on symbolic tensors, as calls of `keras.ops`, and from there on it is a model like any other. Imported
only where Keras runs on TensorFlow.
"""
