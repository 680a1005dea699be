"""iptables-save, iptables -S and plain iptables command lines."""
