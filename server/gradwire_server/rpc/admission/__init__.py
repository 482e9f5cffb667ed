"""How many calls are accepted at the same time, and how fast their messages must arrive."""
