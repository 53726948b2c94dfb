"""Evaluation: which explanation to trust, and what a model's explanations have in common."""
