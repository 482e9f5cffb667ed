"""Who may come in, how many, and how fast they must send."""
