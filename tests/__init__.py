"""unit: one room. integration: real servers. system: the program as people run it."""
