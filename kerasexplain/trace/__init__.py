"""Pass 1: runs the model's own code on symbolic tensors and records it."""
