"""Metrics, logs and spans of calls."""
