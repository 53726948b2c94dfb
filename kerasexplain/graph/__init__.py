"""The graph of a model: values, nodes, primitives, and what is known of them without running it."""
