"""Passes from IR to IR: the same meaning in a faster shape."""
