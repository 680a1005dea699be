"""Loading: check, load, list, the difference to what is loaded, snapshots and the way back."""
