"""`nft -j list ruleset`, and libnftables-json command files."""
