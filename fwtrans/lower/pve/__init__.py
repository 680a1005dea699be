"""Proxmox VE's configuration becomes the dumps that pve-firewall itself would leave behind."""
