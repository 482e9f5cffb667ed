"""The operators, such as `gradwire.grad`."""
