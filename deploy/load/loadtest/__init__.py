"""Offers calls to a gradwire server at given rates, checks the answers, and finds what it carries."""
