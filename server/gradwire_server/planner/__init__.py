"""Chooses the algorithm of each derivative. NumPy only: it must not import JAX."""
