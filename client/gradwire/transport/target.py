"""Checks a server's address, and whether it is this machine's. Must not import gRPC."""

from __future__ import annotations

import ipaddress
import re

from gradwire.errors import InvalidInputError

_SCHEMES = {"dns", "ipv4", "ipv6", "passthrough", "unix", "unix-abstract", "vsock", "xds"}
"""gRPC's schemes of addresses; gRPC checks what follows them."""

_HOST_AND_PORT = re.compile(r"(?:[^\s:/\[\]]+|\[[^\s/\[\]]+\]):([0-9]{1,5})")


def check_target(target: str) -> None:
    """Checks an address. gRPC takes one without a port as 443, and a URL as a host's name.

    Raises:
        InvalidInputError: it has another form.
    """
    if isinstance(target, str):
        scheme, _, rest = target.partition(":")
        if scheme in _SCHEMES and rest:
            return
        match = _HOST_AND_PORT.fullmatch(target)
        if match and 0 < int(match[1]) < 2**16:
            return
    raise InvalidInputError(
        f"`target` must be HOST:PORT, such as gpu-box:8701, or unix:PATH; got {target!r}",
        field="target",
    )


def is_local(target: str) -> bool:
    """Says whether an address is this machine's own: no proxy or other machine is on the way."""
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
