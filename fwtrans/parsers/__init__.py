"""Text to syntax, faithful to the format. Knows nothing of nftables."""
