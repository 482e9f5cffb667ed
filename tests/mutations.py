"""Bytes gone wrong, in the same way each time."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF)


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yields ``count`` damaged copies of ``data``.

    Each has one to four of: a bit flipped, a byte set, bytes removed, a piece
    repeated, a piece moved, random bytes put in, the end cut off.
    """
    random = Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(random.randint(1, 4)):
            _mutate(changed, random)
        yield bytes(changed)


def _mutate(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.randint(1, 8))
    match random.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << random.randrange(8)
        case 1 if at < len(data):
            data[at] = random.choice(_NUMBERS)
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = data[at:end] * random.randint(1, 50)
        case 4:
            piece = data[at:end]
            del data[at:end]
            place = random.randrange(len(data) + 1)
            data[place:place] = piece
        case 5:
            data[at:at] = random.randbytes(random.randint(1, 10))
        case 6 if random.random() < 0.2:
            del data[at:]
