"""When a program may run: its turn, its share of the memory, and runs that nobody waits for."""
