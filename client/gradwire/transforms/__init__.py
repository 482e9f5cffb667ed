"""The operators: what `gradwire.grad` and its kin are."""
