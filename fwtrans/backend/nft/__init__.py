"""Typed nftables objects, their text, their JSON."""
