"""How a batch is spoken of."""

NO_BATCH = -1
"""The rows of a call whose program has no mapped input, and the bucket of its executable."""
