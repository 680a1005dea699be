"""The review of a change: what it does to traffic, in people's words, and in each form that is read or posted."""
