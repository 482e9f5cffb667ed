"""The address that a call comes from. It must not import gRPC."""

from __future__ import annotations


def host_of(peer: str) -> str:
    """Returns the address in gRPC's name of a peer, without the port: ``ipv4:10.0.0.1:4711``."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
