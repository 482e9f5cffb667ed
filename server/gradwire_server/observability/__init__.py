"""Metrics, logs and spans: what is recorded of calls."""
