"""One file an iptables extension: its options, what they mean, and when they cannot be expressed."""
