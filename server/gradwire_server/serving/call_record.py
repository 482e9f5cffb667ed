"""What is noted of one call while it is worked on; metrics and the access log read it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

STAGES = ("validate", "compile", "queue", "execute", "serialise")
"""In the order in which a call goes through them."""


@dataclass(slots=True)
class CallRecord:
    """One call.

    Attributes:
        method: The RPC.
        call_id: As the caller chose it, or one of the server's.
        attempt: 0 for the caller's first attempt at the call, then counting up.
        client: The caller's name and version, as it gave them.
        peer: Where the call came from, as gRPC has it.
        caller: The name of the caller, by which the server is fair; see ``rpc.auth.identity``.
        parent: The headers of the trace that the call belongs to, if it does.
        trace_id: The trace, once it is known.
        started: On the clock of ``time.perf_counter``.
        operator: The derivative asked for; empty while it isn't known.
        plan_id: Empty while it isn't known.
        rows: Rows of the batch; -1 if there is none.
        non_finite: Elements of the outputs that are NaN or infinite.
        status: The name of the gRPC status.
        reason: The name of the reason of a failure.
        limit: The name of the bound that the call was refused for, if it was one.
        unread: Whether it was refused before its message was read. Nothing else is known
            of it then, and there may be thousands in a second.
        bytes_in: Bytes of the request.
        bytes_out: Bytes of the reply.
        total: Seconds from the first byte read to the last byte written.
        validate: Seconds of checking the request, the program and the inputs;
            the next are seconds, too.
        compile: Compiling, or loading what was compiled before.
        queue: Waiting for a turn to run.
        execute: Running on the device.
        serialise: Writing the reply.
    """

    method: str
    call_id: str = ""
    attempt: int = 0
    client: str = ""
    peer: str = ""
    caller: str = ""
    parent: dict[str, str] | None = None
    trace_id: str = ""
    started: float = field(default_factory=time.perf_counter)
    operator: str = ""
    plan_id: str = ""
    rows: int = -1
    non_finite: int = 0
    status: str = "OK"
    reason: str = ""
    limit: str = ""
    unread: bool = False
    bytes_in: int = 0
    bytes_out: int = 0
    total: float = 0.0
    validate: float = 0.0
    compile: float = 0.0
    queue: float = 0.0
    execute: float = 0.0
    serialise: float = 0.0

    def stage(self, name: str) -> Stage:
        """Returns a block whose time is added to one of ``STAGES``, even if it fails."""
        return Stage(self, name)


class Stage:
    """A block of a call whose time is noted. A class costs a third of a generator."""

    __slots__ = ("_name", "_record", "_start")

    def __init__(self, record: CallRecord, name: str) -> None:
        self._record = record
        self._name = name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        took = time.perf_counter() - self._start
        setattr(self._record, self._name, getattr(self._record, self._name) + took)
