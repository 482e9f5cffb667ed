"""What the compiler gives to the runtime: bytes, and nothing else.

A header with the costs of a run, then JAX's serialised executable. The two
sides import this module and not each other, so that they can be two processes.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass

_HEADER_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Cost:
    """What the compiler reports about an executable.

    Attributes:
        flops: Floating-point operations of one run; 0 if unknown.
        peak_bytes: Device memory of one run: inputs, outputs and temporaries.
        code_bytes: The size of the code.
        compile_seconds: How long tracing and compiling took.
    """

    flops: float
    peak_bytes: int
    code_bytes: int
    compile_seconds: float


def pack(cost: Cost, body: bytes) -> bytes:
    """Joins what the compiler reports about an executable, and the executable."""
    header = json.dumps(asdict(cost)).encode()
    return _HEADER_LENGTH.pack(len(header)) + header + body


def unpack(data: bytes) -> tuple[Cost, memoryview]:
    """Splits what ``pack`` joined.

    Raises:
        Exception: of whatever kind, if the bytes are not from ``pack``.
    """
    (length,) = _HEADER_LENGTH.unpack_from(data)
    start = _HEADER_LENGTH.size
    cost = Cost(**json.loads(data[start : start + length]))
    return cost, memoryview(data)[start + length :]
