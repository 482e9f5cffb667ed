"""The RPCs. Each reads its request, makes one call to the engine, and writes the reply."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError

from gradwire.errors import InvalidProgramError, OverloadedError, Reason
from gradwire.v1 import service_pb2 as pb
from gradwire_server.config.settings import Settings
from gradwire_server.observability.logs import FIELDS
from gradwire_server.program.wire_items import check_items
from gradwire_server.rpc import messages as requests
from gradwire_server.rpc.auth.identity import Identities
from gradwire_server.rpc.info import describe_server
from gradwire_server.rpc.status import describe, to_grpc
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.deadline import Deadline, StillRunning
from gradwire_server.serving.engine import Engine
from gradwire_server.serving.lifecycle import Lifecycle

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["DerivativeService"].full_name

_log = logging.getLogger(__name__)
_clock = time.perf_counter

_POLL_SECONDS = 1.0
"""When to ask again for a plan that isn't ready."""

_FOREVER = 10.0**6
"""Above this a deadline, in seconds, stands for none in gRPC."""

_TRACE_HEADERS = ("traceparent", "tracestate")

_Request = TypeVar("_Request", pb.PrepareRequest, pb.ComputeRequest, pb.GetServerInfoRequest)
_Reply = pb.PrepareResponse | pb.ComputeResponse | pb.GetServerInfoResponse


class DerivativeService:
    """Serves gradwire.v1.DerivativeService.

    Handlers take requests and return replies as bytes, so that parsing and
    serialising are timed, and a request that doesn't parse gets an error of ours.
    """

    def __init__(
        self,
        engine: Engine,
        lifecycle: Lifecycle,
        settings: Settings,
        identities: Identities,
        note: Callable[[CallRecord], None],
    ) -> None:
        """Makes the service.

        Args:
            engine: Prepares and computes.
            lifecycle: Says whether calls are accepted.
            settings: The server's settings.
            identities: Names the callers.
            note: Called with the record of each finished call.
        """
        self._engine = engine
        self._lifecycle = lifecycle
        self._settings = settings
        self._identities = identities
        self._note = note

    def handlers(self) -> grpc.GenericRpcHandler:
        """Returns what a gRPC server registers."""
        methods = {
            "Prepare": self._handler("Prepare", pb.PrepareRequest, self._prepare),
            "Compute": self._handler("Compute", pb.ComputeRequest, self._compute),
            "GetServerInfo": self._handler(
                "GetServerInfo", pb.GetServerInfoRequest, self._get_server_info
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE_NAME, methods)

    def _prepare(
        self, request: pb.PrepareRequest, deadline: Deadline, record: CallRecord
    ) -> pb.PrepareResponse:
        wanted = requests.read_preparation(request)
        record.validate = _clock() - record.started
        try:
            prepared = self._engine.prepare(wanted, deadline, record)
        except StillRunning:
            return requests.write_poll_after(_POLL_SECONDS, self._settings.replica_id)
        return requests.write_plan(prepared, self._settings.replica_id)

    def _compute(
        self, request: pb.ComputeRequest, deadline: Deadline, record: CallRecord
    ) -> pb.ComputeResponse:
        source = requests.read_source(request)
        record.validate = _clock() - record.started
        try:
            result = self._engine.compute(source, request.inputs, deadline, record)
        except StillRunning:
            raise OverloadedError(
                "the program is still being compiled",
                reason=Reason.ERROR_REASON_STILL_COMPILING,
            ) from None
        return requests.write_result(result, record, self._settings.replica_id)

    def _get_server_info(
        self, request: pb.GetServerInfoRequest, deadline: Deadline, record: CallRecord
    ) -> pb.GetServerInfoResponse:
        return describe_server(self._settings)

    def _handler(
        self,
        method: str,
        kind: type[_Request],
        answer: Callable[[_Request, Deadline, CallRecord], _Reply],
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Wraps a method in what all calls need."""
        settings = self._settings
        default_seconds = (
            settings.default_prepare_seconds
            if method == "Prepare"
            else settings.default_compute_seconds
        )

        def handle(data: bytes, context: grpc.ServicerContext) -> bytes:
            record = CallRecord(method, bytes_in=len(data), peer=context.peer())
            record.caller = self._identities.name(context)
            record.parent = _trace_headers(context)
            try:
                check_items(data, kind, "max_request_items", settings.max_request_items)
                request = _parse(kind, data)
                self._note_caller(request.context, record)
                self._lifecycle.enter(len(data))
                try:
                    requests.check_request(request, settings.max_call_id_chars)
                    deadline = _deadline(context, default_seconds)
                    message = answer(request, deadline, record)
                    with record.stage("serialise"):
                        reply = message.SerializeToString()
                finally:
                    self._lifecycle.leave(len(data))
            except Exception as error:  # noqa: BLE001 - each becomes a status
                self._fail(error, record, context)
            record.bytes_out = len(reply)
            self._end(record)
            return reply

        return grpc.unary_unary_rpc_method_handler(handle)

    def _note_caller(self, caller: pb.CallContext, record: CallRecord) -> None:
        most = self._settings.max_call_id_chars
        record.call_id = caller.call_id[:most] or uuid.uuid4().hex
        record.attempt = caller.attempt
        record.client = caller.client_version[:most]

    def _fail(self, error: Exception, record: CallRecord, context: grpc.ServicerContext) -> None:
        """Ends a call with the status of its error; doesn't return."""
        record.call_id = record.call_id or uuid.uuid4().hex
        status, detail = describe(error, record.call_id)
        if detail.reason == Reason.ERROR_REASON_INTERNAL:
            fields = {"call_id": record.call_id}
            _log.error("a call failed", exc_info=error, extra={FIELDS: fields})
        record.reason = Reason.Name(detail.reason).removeprefix("ERROR_REASON_")
        record.limit = next((m.value for m in detail.metadata if m.name == "limit"), "")
        answer = to_grpc(status)
        record.status = answer.code.name
        self._end(record)
        context.abort_with_status(answer)

    def _end(self, record: CallRecord) -> None:
        record.total = _clock() - record.started
        self._note(record)


def _parse(kind: type[_Request], data: bytes) -> _Request:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise InvalidProgramError(
            f"the request must be a serialised {kind.DESCRIPTOR.full_name}; the bytes don't parse",
            reason=Reason.ERROR_REASON_INVALID_REQUEST,
        ) from None


def _trace_headers(context: grpc.ServicerContext) -> dict[str, str] | None:
    """Returns the call's headers of W3C's Trace Context, or None."""
    found = {k: str(v) for k, v in context.invocation_metadata() if k in _TRACE_HEADERS}
    return found or None


def _deadline(context: grpc.ServicerContext, default: float) -> Deadline:
    remaining = context.time_remaining()
    if remaining > _FOREVER:
        remaining = default
    deadline = Deadline(remaining, context.is_active)
    deadline.check("it waited for a thread")
    return deadline
