"""The constant that stands for the absence of a batch."""

NO_BATCH = -1
"""The rows of a call whose program has no mapped input, and the bucket of its executable."""
