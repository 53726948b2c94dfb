"""The architectures of docs/models.md, with random weights, and inputs for them."""
