"""From a row in the queue to a result: the worker process, and the supervisor that keeps it running."""
