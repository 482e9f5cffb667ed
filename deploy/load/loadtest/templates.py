"""Requests as bytes with the answers they must get, made once by the real client.

A generator sends these bytes again and again under new call ids, for tracing
and writing requests would take more of its time than sending them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

import gradwire as gw
from gradwire.ir.precision import PRECISIONS
from gradwire.tensors import decode_tensor
from gradwire.transport.call import Call
from gradwire.transport.options import check_options
from gradwire.v1 import service_pb2 as pb
from loadtest.mix import VARIANTS, Array, Kind, is_right
from loadtest.target import Target


@dataclass(frozen=True)
class Template:
    """One request.

    Attributes:
        kind: The name of its kind.
        share: How often it is sent, relative to the others.
        route: The value of the metadata ``gradwire-route``.
        by_plan: The request without its context, naming a plan.
        inline: The same with the program, for a server that doesn't hold the plan.
        wanted: What the outputs must be.
        rtol: How far they may be off.
    """

    kind: str
    share: float
    route: str
    by_plan: bytes
    inline: bytes
    wanted: tuple[Array, ...]
    rtol: float

    def request(self, attempt: int, inline: bool) -> bytes:
        """Returns a request under a call id of its own."""
        context = pb.CallContext(
            call_id=os.urandom(16).hex(), attempt=attempt, client_version="gradwire-load"
        )
        head = pb.ComputeRequest(context=context).SerializeToString()
        return head + (self.inline if inline else self.by_plan)  # messages merge when joined

    def is_answered_by(self, answer: bytes) -> bool:
        """Says whether an answer holds the right values."""
        response = pb.ComputeResponse.FromString(answer)
        got = [decode_tensor(output.tensor, "output") for output in response.outputs]
        return is_right(got, self.wanted, self.rtol)


class WrongAnswerError(Exception):
    """A server has answered a call with wrong values."""


def make_templates(kinds: list[Kind], target: Target) -> list[Template]:
    """Prepares every kind of call on the server, and calls each variant once.

    Raises:
        WrongAnswerError: an answer is not what it must be.
        GradwireError: the server can't be reached or doesn't serve it.
    """
    rng = np.random.default_rng(20)
    made = []
    with target.connect() as plain:
        recorder = _Recorder(plain._transport)  # beneath the client, as in benchmarks/
        connection = gw.Connection(recorder, check_options())
        for kind in kinds:
            prepared = gw.prepare(kind.function, *kind.draw(rng), connection=connection)
            for _ in range(VARIANTS):
                arguments = kind.draw(rng)
                prepared(*arguments)
                made.append(_template(kind, arguments, recorder))
    return made


class _Recorder:
    """A transport that keeps what goes over another."""

    def __init__(self, transport: Any) -> None:
        self.target = transport.target
        self.program = b""
        self.route = ""
        self.request = pb.ComputeRequest()
        self.answer = b""
        self.close = transport.close
        self._transport = transport

    def attempt(self, call: Call, method: str, request: bytes, seconds: float) -> Any:
        """Calls once."""
        answer = self._transport.attempt(call, method, request, seconds)
        if method == "Prepare":
            self.program = pb.PrepareRequest.FromString(request).program
        if method == "Compute" and isinstance(answer, bytes):
            self.route = call.route
            self.request = pb.ComputeRequest.FromString(request)
            self.answer = answer
        return answer


def _template(kind: Kind, arguments: tuple[Any, ...], recorder: _Recorder) -> Template:
    request = recorder.request
    request.ClearField("context")
    by_plan = request.SerializeToString()
    request.inline.program = recorder.program
    request.inline.precision = PRECISIONS["highest"]
    template = Template(
        kind.name,
        kind.share / VARIANTS,
        recorder.route,
        by_plan,
        request.SerializeToString(),
        tuple(np.asarray(wanted) for wanted in kind.expect(*arguments)),
        kind.rtol,
    )
    if not template.is_answered_by(recorder.answer):
        raise WrongAnswerError(f"{kind.name}: the first answer has wrong values")
    return template
