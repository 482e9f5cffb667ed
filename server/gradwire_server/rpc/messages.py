"""Reads requests and writes replies: from messages to plain values, strictly, and back."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.unknown_fields import UnknownFieldSet

from gradwire.errors import InvalidProgramError, Reason
from gradwire.ir.precision import PRECISIONS
from gradwire.tensors import encode_tensor, encode_type
from gradwire.v1 import service_pb2 as pb
from gradwire_server.program.exceeded import exceeded
from gradwire_server.program.unknown_fields import reject_unknown_fields
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.engine import Preparation, Prepared, Result

_PRECISIONS = {number: word for word, number in PRECISIONS.items()}


Request = pb.PrepareRequest | pb.ComputeRequest | pb.GetServerInfoRequest


def check_request(request: Request, max_call_id_chars: int) -> None:
    """Checks what holds for every request.

    The inputs of a Compute are checked where they are read.

    Raises:
        InvalidProgramError: a field outside the context is unknown.
        LimitExceededError: the call id is too long; it is written into the log.
    """
    if not isinstance(request, pb.ComputeRequest):
        reject_unknown_fields(request, "", exempt=(pb.CallContext,))
    elif len(UnknownFieldSet(request)):
        reject_unknown_fields(request, "", exempt=(pb.CallContext, pb.Input))
    elif request.HasField("inline"):
        reject_unknown_fields(request.inline, "inline", exempt=(pb.CallContext,))
    length = len(request.context.call_id)
    if length > max_call_id_chars:
        raise exceeded("max_call_id_chars", max_call_id_chars, length)


def read_preparation(request: pb.PrepareRequest, field: str = "") -> Preparation:
    """Reads a program to prepare.

    Raises:
        InvalidProgramError: the precision is missing, or the wait is negative.
    """
    precision = _PRECISIONS.get(request.precision)
    if precision is None:
        raise _invalid(
            f"{field}precision", "be a value of Precision other than 0", int(request.precision)
        )
    max_wait = None
    if request.HasField("max_wait"):
        max_wait = _read_seconds(request.max_wait, f"{field}max_wait")
    return Preparation(request.program, precision, tuple(request.batch_sizes), max_wait)


def write_preparation(wanted: Preparation) -> pb.PrepareRequest:
    """Writes what ``read_preparation`` reads, without the wait: that belongs to one call."""
    return pb.PrepareRequest(
        program=wanted.program,
        precision=PRECISIONS[wanted.precision],
        batch_sizes=wanted.batch_sizes,
    )


def read_source(request: pb.ComputeRequest) -> str | Preparation:
    """Reads what to run: the id of a plan, or a program.

    Raises:
        InvalidProgramError: neither is set.
    """
    match request.WhichOneof("plan"):
        case "plan_id":
            return request.plan_id
        case "inline":
            return read_preparation(request.inline, "inline.")
    raise _invalid("plan", "be set", "nothing")


def write_plan(prepared: Prepared, replica_id: str) -> pb.PrepareResponse:
    """Writes the answer to Prepare."""
    largest = max(prepared.executables, key=lambda e: e.cost.peak_bytes, default=None)
    plan = pb.Plan(
        id=prepared.plan.id,
        outputs=[encode_type(t) for t in prepared.plan.outputs],
        choices=[
            pb.Choice(function=c.function, node=c.node, name=c.name, value=c.value)
            for c in prepared.plan.choices
        ],
        peak_bytes=largest.cost.peak_bytes if largest else 0,
        flops=largest.cost.flops if largest else 0.0,
        cached=prepared.cached,
        compile_time=_write_seconds(prepared.compile_seconds),
    )
    return pb.PrepareResponse(plan=plan, replica_id=replica_id)


def write_poll_after(seconds: float, replica_id: str) -> pb.PrepareResponse:
    """Writes the answer to a Prepare whose wait is over before the plan is ready."""
    return pb.PrepareResponse(poll_after=_write_seconds(seconds), replica_id=replica_id)


def write_result(result: Result, record: CallRecord, replica_id: str) -> pb.ComputeResponse:
    """Writes the answer to Compute."""
    with record.stage("serialise"):
        outputs = [
            pb.Output(tensor=encode_tensor(output), non_finite=bad)
            for output, bad in zip(result.outputs, result.non_finite, strict=True)
        ]
    timing = pb.Timing(
        queue_seconds=record.queue,
        validate_seconds=record.validate,
        compile_seconds=record.compile,
        execute_seconds=record.execute,
        serialise_seconds=record.serialise,
    )
    return pb.ComputeResponse(
        outputs=outputs, timing=timing, replica_id=replica_id, plan_id=result.plan.id
    )


def _write_seconds(seconds: float) -> Duration:
    """Writes a duration."""
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration


def _read_seconds(duration: Duration, field: str) -> float:
    seconds: float = duration.seconds + duration.nanos / 1e9
    if duration.seconds < 0 or not 0 <= duration.nanos < 10**9:
        raise _invalid(field, "not be negative, with nanos from 0 to 999,999,999", seconds)
    return seconds


def _invalid(field: str, rule: str, got: object) -> InvalidProgramError:
    return InvalidProgramError(
        f"`{field}` must {rule}; got {got}",
        reason=Reason.ERROR_REASON_INVALID_REQUEST,
        field=field,
    )
