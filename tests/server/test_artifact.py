"""What the compiler hands to the runtime comes apart as it was put together."""

from __future__ import annotations

import struct

import pytest

from gradwire_server.artifact import Cost, pack, unpack

COST = Cost(1.5e12, 2**40, 123, 0.25)


@pytest.mark.parametrize("body", [b"", b"\0", bytes(range(256)) * 100], ids=len)
def test_it_comes_apart(body: bytes) -> None:
    """Every number and every byte."""
    cost, found = unpack(pack(COST, body))
    assert cost == COST
    assert bytes(found) == body


def test_what_is_cut_or_another_is_an_error() -> None:
    """Before anything of the body is used."""
    whole = pack(COST, b"body")
    for wrong in (b"", whole[:3], whole[:20], struct.pack("<I", 2) + b"{}" + b"body"):
        with pytest.raises((struct.error, ValueError, TypeError)):
            unpack(wrong)
