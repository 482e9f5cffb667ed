"""The network interface: gRPC, messages and status codes."""
