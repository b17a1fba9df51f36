"""The durable queue: jobs, who accepts them, who paints them, what is kept."""
