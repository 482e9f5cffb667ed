"""From bytes to a checked program."""
