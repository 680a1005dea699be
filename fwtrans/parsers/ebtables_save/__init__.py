"""ebtables-save of both kinds, and ebtables command lines; arptables is a dialect of it."""
