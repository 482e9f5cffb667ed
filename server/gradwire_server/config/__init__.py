"""Settings, and how they are read from flags and the environment."""
