"""Addresses that a server listens on: HOST:PORT, or unix:PATH."""

from __future__ import annotations

import ipaddress
import os

MAX_UNIX_PATH_BYTES = 107
"""The longest path of a Unix socket that the kernel accepts."""


class SettingsError(ValueError):
    """A setting is not valid; the message names it."""


def split_address(address: str) -> tuple[str, int]:
    """Splits HOST:PORT; a host of IPv6 stands in brackets.

    Raises:
        ValueError: it has another form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(address)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(address)
    return host, int(port)


def check_address(name: str, address: str) -> bool:
    """Checks the form of an address; returns whether only this machine reaches it."""
    if address.startswith("unix:"):
        length = len(os.fsencode(address.removeprefix("unix:")))
        if not 1 <= length <= MAX_UNIX_PATH_BYTES:
            raise SettingsError(
                f"`{name}` must have a path of 1 to {MAX_UNIX_PATH_BYTES} bytes; got {length}"
            )
        return True
    try:
        host, _ = split_address(address)
    except ValueError:
        raise SettingsError(f"`{name}` must be HOST:PORT or unix:PATH; got {address!r}") from None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
