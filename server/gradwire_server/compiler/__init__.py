"""From a checked program to the bytes of an executable."""
