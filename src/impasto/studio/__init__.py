"""The studio: a web page and an HTTP API over a durable queue of pictures and clips.

Two kinds of process share one SQLite file and the folders beside it. The server takes uploads, has them
decoded in a sandboxed child process and adds a row to the queue. A worker process claims the row and paints
it.

Its parts, each of which imports only the ones before it: ``settings``, ``errors`` and ``logs``; ``queue``
(rows and files of jobs, people); ``webhooks`` and ``traces``; ``sandbox`` (decoding under limits);
``intake`` (from a request to a row) and ``worker`` (from a row to a result); ``http`` (routes); ``app``.
"""
