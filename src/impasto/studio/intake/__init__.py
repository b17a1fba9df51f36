"""From a request to a row in the queue: form parts, settings, uploads. Runs in the server."""
