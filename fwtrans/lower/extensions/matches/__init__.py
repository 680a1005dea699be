"""Match extensions, one a file."""
