"""What a ruleset means for traffic that a bridge forwards, and when two rulesets mean the same for it."""
