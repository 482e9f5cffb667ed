"""From a request to its answer: plans, the queue of runs, batches."""
