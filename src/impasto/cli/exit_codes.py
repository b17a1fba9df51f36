"""What the process returns: 0 for success, else one of these."""

FAILED_CELLS = 1
BAD_INPUT = 2
INTERRUPTED = 130
