"""The way from a person's data to calls of compiled functions, and back."""
