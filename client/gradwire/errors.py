"""Every exception of gradwire, and the table that ties it to the wire.

    GradwireError
    ├── InvalidProgramError (ValueError)   the function asked for cannot be
    │   └── LimitExceededError             ... because a bound is exceeded
    ├── InvalidInputError (ValueError)     an argument doesn't fit
    ├── UnsupportedError (NotImplementedError)
    ├── OverloadedError                    too much at once
    │   └── OutOfMemoryError (MemoryError)
    ├── DeadlineError (TimeoutError)
    ├── UnavailableError (ConnectionError)
    ├── AuthenticationError (PermissionError)
    ├── QuarantinedError (RuntimeError)    the program brings the server down
    ├── InternalError (RuntimeError)
    ├── PlanNotFoundError                  never leaves the client
    ├── TraceError (TypeError)             Python that can't become a program
    ├── CoupledBatchError (ValueError)     samples of a batch depend on each other
    └── VersionError (RuntimeError)        client and server don't fit together

It must not import gRPC: a status is a name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gradwire.v1 import error_pb2

Reason = error_pb2.ErrorReason


class GradwireError(Exception):
    """Base of all errors that gradwire raises.

    Attributes:
        message: What happened: the field in backticks, the rule, the value.
        reason: The reason as it travels on the wire.
        field: The field at fault, such as ``inputs[2].data``; may be empty.
        function: Index of the function at fault in the program, if known.
        node: Index of the node at fault in that function, if known.
        metadata: More, by name.
        call_id: Id of the failed call, as in the server's log; may be empty.
    """

    default_reason: ClassVar[Reason] = Reason.ERROR_REASON_INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        field: str = "",
        function: int | None = None,
        node: int | None = None,
        metadata: Mapping[str, str] | None = None,
        call_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = self.default_reason if reason is None else reason
        self.field = field
        self.function = function
        self.node = node
        self.metadata = dict(metadata or {})
        self.call_id = call_id
        if call_id:
            self.add_note(f"(call {call_id})")


class InvalidProgramError(GradwireError, ValueError):
    """The program breaks a rule of the language."""

    default_reason = Reason.ERROR_REASON_INVALID_PROGRAM


class LimitExceededError(InvalidProgramError):
    """A bound of the server is exceeded.

    ``metadata`` holds ``limit`` (its name), ``allowed`` and ``got``.
    """

    default_reason = Reason.ERROR_REASON_LIMIT_EXCEEDED


class InvalidInputError(GradwireError, ValueError):
    """An input has the wrong shape, dtype or number of bytes."""

    default_reason = Reason.ERROR_REASON_INVALID_INPUT


class UnsupportedError(GradwireError, NotImplementedError):
    """An op, dtype, mode or derivative that is not offered."""

    default_reason = Reason.ERROR_REASON_UNSUPPORTED


class OverloadedError(GradwireError):
    """The server is overloaded; retries are used up.

    ``retry_after`` is in how many seconds the server expects to have room, if it
    has said so.
    """

    default_reason = Reason.ERROR_REASON_OVERLOADED

    def __init__(self, message: str, *, retry_after: float | None = None, **values: Any) -> None:
        super().__init__(message, **values)
        self.retry_after = retry_after


class OutOfMemoryError(OverloadedError, MemoryError):
    """The program needs more memory than the device has."""

    default_reason = Reason.ERROR_REASON_OUT_OF_MEMORY


class DeadlineError(GradwireError, TimeoutError):
    """The answer did not come in time."""

    default_reason = Reason.ERROR_REASON_DEADLINE_EXCEEDED


class UnavailableError(GradwireError, ConnectionError):
    """No server could be reached; retries are used up."""

    default_reason = Reason.ERROR_REASON_DRAINING


class AuthenticationError(GradwireError, PermissionError):
    """The server refuses the caller: its token is missing or wrong."""

    default_reason = Reason.ERROR_REASON_UNAUTHENTICATED


class QuarantinedError(GradwireError, RuntimeError):
    """The program has brought a process of the server down, which refuses it for a time."""

    default_reason = Reason.ERROR_REASON_QUARANTINED


class InternalError(GradwireError, RuntimeError):
    """The server is at fault; its log holds the cause under ``call_id``."""

    default_reason = Reason.ERROR_REASON_INTERNAL


class PlanNotFoundError(GradwireError):
    """The server no longer holds the plan. The client sends it again."""

    default_reason = Reason.ERROR_REASON_PLAN_NOT_FOUND


class TraceError(GradwireError, TypeError):
    """A Python operation on a traced value that can't become a program.

    The message names the caller's line and what to write instead.
    """

    default_reason = Reason.ERROR_REASON_UNSPECIFIED


class CoupledBatchError(GradwireError, ValueError):
    """The function mixes the samples of its batch, so the blocks are wrong."""

    default_reason = Reason.ERROR_REASON_UNSPECIFIED


class VersionError(GradwireError, RuntimeError):
    """The versions of client and server don't fit together."""

    default_reason = Reason.ERROR_REASON_UNSPECIFIED


class NonFiniteWarning(RuntimeWarning):
    """An output holds NaN or infinite elements."""


class PrecisionWarning(UserWarning):
    """A NumPy scalar lifted float32 values to float64."""


@dataclass(frozen=True, slots=True)
class ReasonRule:
    """What a reason means outside the domain.

    Attributes:
        status: The name of the gRPC status code.
        exception: What the client raises.
        retryable: Whether the same call may succeed later.
    """

    status: str
    exception: type[GradwireError]
    retryable: bool = False


REASONS: dict[Reason, ReasonRule] = {
    Reason.ERROR_REASON_MALFORMED_PROGRAM: ReasonRule("INVALID_ARGUMENT", InvalidProgramError),
    Reason.ERROR_REASON_INVALID_PROGRAM: ReasonRule("INVALID_ARGUMENT", InvalidProgramError),
    Reason.ERROR_REASON_INVALID_REQUEST: ReasonRule("INVALID_ARGUMENT", InvalidProgramError),
    Reason.ERROR_REASON_INVALID_INPUT: ReasonRule("INVALID_ARGUMENT", InvalidInputError),
    Reason.ERROR_REASON_LIMIT_EXCEEDED: ReasonRule("INVALID_ARGUMENT", LimitExceededError),
    Reason.ERROR_REASON_UNKNOWN_OP: ReasonRule("UNIMPLEMENTED", UnsupportedError),
    Reason.ERROR_REASON_UNKNOWN_OPSET: ReasonRule("UNIMPLEMENTED", UnsupportedError),
    Reason.ERROR_REASON_UNSUPPORTED: ReasonRule("UNIMPLEMENTED", UnsupportedError),
    Reason.ERROR_REASON_PLAN_NOT_FOUND: ReasonRule("NOT_FOUND", PlanNotFoundError),
    Reason.ERROR_REASON_OVERLOADED: ReasonRule("RESOURCE_EXHAUSTED", OverloadedError, True),
    Reason.ERROR_REASON_OUT_OF_MEMORY: ReasonRule("RESOURCE_EXHAUSTED", OutOfMemoryError),
    Reason.ERROR_REASON_STILL_COMPILING: ReasonRule("RESOURCE_EXHAUSTED", OverloadedError, True),
    Reason.ERROR_REASON_DEADLINE_EXCEEDED: ReasonRule("DEADLINE_EXCEEDED", DeadlineError),
    Reason.ERROR_REASON_DRAINING: ReasonRule("UNAVAILABLE", UnavailableError, True),
    Reason.ERROR_REASON_QUARANTINED: ReasonRule("FAILED_PRECONDITION", QuarantinedError),
    Reason.ERROR_REASON_INTERNAL: ReasonRule("INTERNAL", InternalError),
    Reason.ERROR_REASON_UNAUTHENTICATED: ReasonRule("UNAUTHENTICATED", AuthenticationError),
}
"""Every reason that is ever sent. A test holds it equal to the proto's enum."""
