"""The record of one call, filled while it is processed; metrics and access log read it."""

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
        call_id: Chosen by the caller, or else by the server.
        attempt: 0 for the caller's first attempt at the call, then counting up.
        client: The client's name and version, as the request gives them.
        peer: The address of the client, as gRPC reports it.
        caller: The name of the caller, by which the server is fair; see ``rpc.auth.identity``.
        parent: The headers of the trace that the call belongs to, if any.
        trace_id: The trace, once it is known.
        started: On the clock of ``time.perf_counter``.
        operator: The derivative asked for; empty while it isn't known.
        plan_id: Empty while it isn't known.
        rows: Rows of the batch; -1 if there is none.
        non_finite: Elements of the outputs that are NaN or infinite.
        status: The name of the gRPC status.
        reason: The name of the reason of a failure.
        limit: The name of the bound that the call was refused for, if any.
        unread: Whether it was refused before its message was read. Then nothing else is
            known of it, and there may be thousands in a second.
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
        """Returns a context whose time is added to one of ``STAGES``, even if it fails."""
        return Stage(self, name)


class Stage:
    """Measures a part of a call. A class takes a third of a generator's time."""

    __slots__ = ("_name", "_record", "_start")

    def __init__(self, record: CallRecord, name: str) -> None:
        self._record = record
        self._name = name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        took = time.perf_counter() - self._start
        setattr(self._record, self._name, getattr(self._record, self._name) + took)
