"""Proxmox VE's own configuration: .fw files, guests, corosync, SDN, and what a node knows of itself."""
