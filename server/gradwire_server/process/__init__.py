"""The process of the server: its end, its parent, its health check. Standard library."""
