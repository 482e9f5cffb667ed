"""The frames between a server and a compiler in a process of its own. It must not import JAX.

A frame is its kind, the number of a job, a length, and as many bytes.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradwire.errors import REASONS, GradwireError, Reason
from gradwire.tensors import TensorType
from gradwire_server.planner.choices import Choice
from gradwire_server.planner.plan import PlannedProgram
from gradwire_server.program.bounds import FunctionSize
from gradwire_server.program.limits import ProgramLimits

READY, PLAN, COMPILE, STARTED, DONE, FAILED = range(6)
"""A compiler says that it is ready, and answers PLAN and COMPILE by STARTED, and then by DONE
or FAILED. One that dies before STARTED was not ended by the program."""

_HEADER = struct.Struct("<BQQ")
_LENGTH = struct.Struct("<I")
_CHUNK_BYTES = 2**20

Frame = tuple[int, int, bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class CompileRequest:
    """What a compiler is asked for. See ``compile_program``."""

    program: bytes
    precision: str
    bucket: int
    choices: tuple[Choice, ...] = ()


class RemoteFailure(Exception):
    """A fault of the compiler; the message is its traceback."""


def send_frame(connection: socket.socket, kind: int, job: int, payload: bytes = b"") -> None:
    """Sends a frame.

    Raises:
        OSError: the other side has gone.
    """
    connection.sendall(_HEADER.pack(kind, job, len(payload)))
    connection.sendall(payload)


def receive_frame(connection: socket.socket) -> Frame | None:
    """Returns the next frame; None if the other side has gone, be it in the middle of one."""
    header = _receive(connection, _HEADER.size)
    if header is None:
        return None
    kind, job, length = _HEADER.unpack(header)
    payload = _receive(connection, length)
    return None if payload is None else (kind, job, payload)


def write_request(request: CompileRequest) -> bytes:
    """Writes what ``read_request`` reads."""
    choices = [dataclasses.astuple(choice) for choice in request.choices]
    return _join([request.precision, request.bucket, choices], request.program)


def read_request(data: bytes) -> CompileRequest:
    """Reads what a compiler is asked for."""
    (precision, bucket, choices), program = _split(data)
    return CompileRequest(program, precision, bucket, tuple(Choice(*c) for c in choices))


def write_plan_request(program: bytes, limits: ProgramLimits) -> bytes:
    """Writes what ``read_plan_request`` reads: a program to check and to plan."""
    return _join(dataclasses.astuple(limits), program)


def read_plan_request(data: bytes) -> tuple[bytes, ProgramLimits]:
    """Reads a program, and the bounds that it has to keep."""
    limits, program = _split(data)
    return program, ProgramLimits(*limits)


def write_planned(planned: PlannedProgram) -> bytes:
    """Writes what ``read_planned`` reads."""
    header = {
        "choices": [dataclasses.astuple(choice) for choice in planned.choices],
        "inputs": [(t.dtype.name, t.shape) for t in planned.inputs],
        "outputs": [(t.dtype.name, t.shape) for t in planned.outputs],
        "mapped": planned.mapped,
        "size": dataclasses.astuple(planned.size),
        "widest_bytes": planned.widest_bytes,
        "operator": planned.operator,
    }
    return _join(header, planned.canonical)


def read_planned(data: bytes) -> PlannedProgram:
    """Reads what is known of a program that was checked and planned."""
    header, canonical = _split(data)
    return PlannedProgram(
        canonical=canonical,
        choices=tuple(Choice(*choice) for choice in header.pop("choices")),
        inputs=_read_types(header.pop("inputs")),
        outputs=_read_types(header.pop("outputs")),
        mapped=tuple(header.pop("mapped")),
        size=FunctionSize(*header.pop("size")),
        **header,
    )


def write_error(error: Exception, trace: str) -> bytes:
    """Writes an error. One that isn't meant for callers travels as its traceback."""
    if not isinstance(error, GradwireError) or error.reason not in REASONS:
        return json.dumps({"trace": trace}).encode()
    names = ("message", "reason", "field", "function", "node", "metadata")
    return json.dumps({name: getattr(error, name) for name in names}).encode()


def read_error(data: bytes) -> Exception:
    """Reads an error: that of the reason's class, or a ``RemoteFailure``."""
    values = json.loads(data)
    if "trace" in values:
        return RemoteFailure(values["trace"])
    reason: Reason = values.pop("reason")
    return REASONS[reason].exception(values.pop("message"), reason=reason, **values)


def _read_types(types: Sequence[tuple[str, Sequence[int]]]) -> tuple[TensorType, ...]:
    return tuple(TensorType(np.dtype(name), tuple(shape)) for name, shape in types)


def _join(header: object, body: bytes) -> bytes:
    encoded = json.dumps(header).encode()
    return _LENGTH.pack(len(encoded)) + encoded + body


def _split(data: bytes) -> tuple[Any, bytes]:
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size
    return json.loads(data[start : start + length]), data[start + length :]


def _receive(connection: socket.socket, length: int) -> bytes | None:
    received = bytearray()
    while len(received) < length:
        try:
            chunk = connection.recv(min(length - len(received), _CHUNK_BYTES))
        except ConnectionError:
            return None
        if not chunk:
            return None
        received += chunk
    return bytes(received)
