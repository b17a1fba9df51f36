"""The studio: a page and an HTTP API over a durable queue of pictures and clips.

Accepting and painting are apart: the server takes uploads, has them decoded in a child under limits and
writes a row; a worker process paints. The two meet in one SQLite file and the folders beside it.
"""
