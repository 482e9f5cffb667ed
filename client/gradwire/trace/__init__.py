"""Tracing: from running Python to functions of the language."""
