"""nftables as text: what `nft list ruleset` prints, what stands in nftables.conf, and lists of commands."""
