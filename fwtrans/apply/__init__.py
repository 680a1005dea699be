"""Putting a ruleset in force with a way back: the plan, the load, the confirmation, what survives a boot."""
