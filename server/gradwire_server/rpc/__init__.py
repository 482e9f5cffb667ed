"""What goes over the wire: gRPC, messages and status codes."""
