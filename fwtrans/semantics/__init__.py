"""What a ruleset does: packet sets, symbolic and concrete evaluation, equivalence."""
