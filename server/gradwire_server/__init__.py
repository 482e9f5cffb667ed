"""The JAX server of gradwire."""
