"""The few kinds of operation that every graph is made of."""
