"""Target extensions, one a file."""
