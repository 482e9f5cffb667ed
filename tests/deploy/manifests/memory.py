"""How much memory a server may take, by its settings."""

from __future__ import annotations

import re

from gradwire_server.config.settings import RESERVED_COMPILES, Settings

_GIB = 2**30
_ESTIMATED = _GIB + _GIB // 4
"""Python and the libraries in the supervisor and the server; and the files in /tmp."""


def needed_bytes(settings: Settings) -> int:
    """What all processes of a server may take together, its compilers included.

    Runs on a GPU take nothing of it: there ``max_device_bytes`` is 0.
    """
    compilers = (settings.compile_workers + RESERVED_COMPILES + 1) * settings.max_compile_bytes
    messages = 2 * settings.max_bytes_in_flight  # requests, and as much for replies
    return _ESTIMATED + settings.max_device_bytes + settings.max_plan_bytes + messages + compilers


def in_bytes(amount: str) -> int:
    """An amount of memory as Kubernetes (16Gi) or compose (16g) writes it."""
    number = re.fullmatch(r"(\d+)(Gi|g)", amount)
    assert number is not None, amount
    return int(number[1]) * _GIB
