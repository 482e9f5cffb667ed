"""What is noted of one call while it is worked on; metrics and the access log read it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

STAGES = ("queue", "validate", "compile", "execute", "serialise")


@dataclass(slots=True)
class CallRecord:
    """One call.

    Attributes:
        method: The RPC.
        call_id: As the caller chose it, or one of the server's.
        started: On the clock of ``time.perf_counter``.
        operator: The derivative asked for; empty while it isn't known.
        plan_id: Empty while it isn't known.
        rows: Rows of the batch; -1 if there is none.
        status: The name of the gRPC status.
        reason: The name of the reason of a failure.
        bytes_in: Bytes of the request.
        bytes_out: Bytes of the reply.
        total: Seconds from the first byte read to the last byte written.
        queue: Seconds of waiting for a turn; the next are seconds, too.
        validate: Checking the program and the inputs.
        compile: Compiling, or loading what was compiled before.
        execute: Running on the device.
        serialise: Writing the reply.
    """

    method: str
    call_id: str = ""
    started: float = field(default_factory=time.perf_counter)
    operator: str = ""
    plan_id: str = ""
    rows: int = -1
    status: str = "OK"
    reason: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    total: float = 0.0
    queue: float = 0.0
    validate: float = 0.0
    compile: float = 0.0
    execute: float = 0.0
    serialise: float = 0.0
