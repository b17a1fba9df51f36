"""Exit codes of the process other than 0 for success."""

FAILED_CELLS = 1  # Some cells of a study failed; the others are finished.
BAD_INPUT = 2
FAILED_PICTURES = 3  # Some pictures of a batch failed; the others are finished.
INTERRUPTED = 130  # Ctrl-C, as shells report it: 128 + SIGINT.
