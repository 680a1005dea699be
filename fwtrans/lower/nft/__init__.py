"""nftables rulesets, in the structure of libnftables-json(5), to IR. Both nft readers end here."""
