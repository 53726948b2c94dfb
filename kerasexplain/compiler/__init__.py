"""Passes 2 to 5: from a traced graph to a compiled function whose gradient is relevance."""
