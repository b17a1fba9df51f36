"""The queue: a row for each job in SQLite, and a folder of files beside it. Nothing here loads PyTorch."""
