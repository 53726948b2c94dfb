"""The choice of an analyzer by measurement."""
