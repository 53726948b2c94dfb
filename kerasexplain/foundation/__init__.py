"""Errors, argument checks, configuration and files: what knows nothing of relevance."""
