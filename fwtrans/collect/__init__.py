"""A snapshot of a host: all that a translation needs of it, read only, without secrets."""
