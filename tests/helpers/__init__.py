"""Helpers that tests share: networks, readers, independent references, random models."""
