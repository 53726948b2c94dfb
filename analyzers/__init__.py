"""The methods by name, thin, on top of the engine; each is registered as an entry point."""
