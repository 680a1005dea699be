"""Rulesets before a real kernel: which kernel, network namespaces, packets."""
