"""What a model becomes: values, nodes, primitives, and what is known of them without running it."""
