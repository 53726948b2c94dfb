"""Strategies: the ways in which a model comes to its decisions, found by clustering relevance maps."""
