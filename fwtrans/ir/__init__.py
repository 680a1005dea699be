"""What a ruleset is."""
