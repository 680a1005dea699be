"""Syntax to IR: the one place where iptables' or PVE's meaning is decided."""
