"""From programs and arrays to messages to a server, and back."""
