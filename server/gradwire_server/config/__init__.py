"""Settings, and where they are given."""
