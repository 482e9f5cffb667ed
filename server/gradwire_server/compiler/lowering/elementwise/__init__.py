"""Functions of single numbers, and of a few of them."""
