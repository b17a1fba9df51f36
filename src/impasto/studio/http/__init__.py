"""The HTTP API: routes, access control and limits of request bodies. Other subpackages do the work."""
