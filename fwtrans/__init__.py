"""fwtrans: leave iptables with a proved, fast nftables ruleset."""
