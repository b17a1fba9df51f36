"""The HTTP API: routes, access control and limits of request bodies. All work is done in the rooms below."""
