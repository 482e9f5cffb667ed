"""Offers calls to a server at given rates, checks the answers, and finds what it carries."""
