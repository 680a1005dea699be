"""interfaces(5): the network configuration of Debian and Proxmox VE, and the firewall commands that people put there."""
