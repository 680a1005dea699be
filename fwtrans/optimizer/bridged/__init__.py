"""Bridged traffic: what iptables saw of it through br_netfilter, judged by nftables' bridge hooks."""
