"""Loads executables from bytes and runs them; the devices."""
