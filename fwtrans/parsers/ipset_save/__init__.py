"""ipset save, ipset restore files and ipset command lines."""
