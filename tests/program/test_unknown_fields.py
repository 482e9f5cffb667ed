from __future__ import annotations

from typing import Any

import pytest

from gradwire.errors import InvalidProgramError, Reason
from gradwire.ir import encode_program
from gradwire.v1 import service_pb2, tensor_pb2
from gradwire_server.program.unknown_fields import reject_unknown_fields
from programs import chain, program, vector
from refusals.form import FUTURE


def request() -> service_pb2.ComputeRequest:
    tensor = tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_FLOAT64, shape=[1], data=bytes(8))
    result = service_pb2.ComputeRequest(
        inline=service_pb2.PrepareRequest(
            program=encode_program(program(chain("sin", 1, vector())))
        )
    )
    for _ in range(2):
        result.inputs.add().tensor.CopyFrom(tensor)
    result.inline.max_wait.seconds = 1
    return result


@pytest.mark.parametrize("path", ["", "inputs[1]", "inputs[1].tensor", "inline", "inline.max_wait"])
def test_a_request_with_a_future_field_is_refused(path: str) -> None:
    """Unknown fields are found at every level of any message, and named."""
    message = request()
    reject_unknown_fields(message, "")
    target: Any = eval(f"message.{path}" if path else "message", {"message": message})
    target.MergeFromString(FUTURE)
    with pytest.raises(InvalidProgramError) as caught:
        reject_unknown_fields(message, "")
    assert caught.value.field == (f"{path}.127" if path else "127")
    assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST
    with pytest.raises(InvalidProgramError) as caught:
        reject_unknown_fields(message, "first", reason=Reason.ERROR_REASON_MALFORMED_PROGRAM)
    assert caught.value.field == (f"first.{path}.127" if path else "first.127")
    assert caught.value.reason == Reason.ERROR_REASON_MALFORMED_PROGRAM


def test_exempt_messages_may_hold_anything() -> None:
    """The context of a call may be of a newer version, at any level; nothing else may."""
    message = request()
    message.context.MergeFromString(FUTURE)
    message.inline.context.MergeFromString(FUTURE)
    reject_unknown_fields(message, "", exempt=(service_pb2.CallContext,))
    with pytest.raises(InvalidProgramError):
        reject_unknown_fields(message, "")
    message.MergeFromString(FUTURE)
    with pytest.raises(InvalidProgramError):
        reject_unknown_fields(message, "", exempt=(service_pb2.CallContext,))
