"""From a request to its answer: plans, their turn to run, batches."""
