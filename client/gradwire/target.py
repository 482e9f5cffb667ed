"""What the address of a server says about it. Knows no gRPC."""

from __future__ import annotations

import ipaddress


def is_local(target: str) -> bool:
    """Says whether an address is this machine's own: no proxy can reach it, nor can others read."""
    scheme, _, rest = target.partition(":")
    if scheme in {"unix", "unix-abstract"}:
        return True
    if scheme in {"dns", "ipv4", "ipv6"}:
        target = rest.rpartition("/")[2]
    return all(_is_loopback(address) for address in target.split(","))  # ipv4:… may list several


def _is_loopback(address: str) -> bool:
    if address.startswith("["):
        host = address[1:].partition("]")[0]
    else:
        host = address if address.count(":") > 1 else address.partition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
