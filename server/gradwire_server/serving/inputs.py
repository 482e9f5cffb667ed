"""Reads the inputs of a call as its plan wants them: messages to arrays, and the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from google.protobuf.unknown_fields import UnknownFieldSet

from gradwire.errors import InvalidInputError, InvalidProgramError, Reason
from gradwire.tensors import TO_WIRE, Array, TensorType, decode_tensor, type_of
from gradwire.v1 import service_pb2 as pb
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.program.unknown_fields import reject_unknown_fields
from gradwire_server.serving.plan import Plan


def read_inputs(messages: Sequence[pb.Input], plan: Plan) -> tuple[list[Array], int]:
    """Reads the inputs of a call.

    Returns:
        The arrays, which are views of the messages' bytes, and the rows of the
        batch, or ``NO_BATCH`` if the program is not mapped.

    Raises:
        InvalidProgramError: an input holds no array, or an unknown field.
        InvalidInputError: the number of inputs, a dtype or a shape is not the
            plan's, or two batches differ in rows. ``field`` names the input.
    """
    if len(messages) != len(plan.inputs):
        raise InvalidInputError(
            f"`inputs` must hold {len(plan.inputs)} arrays; got {len(messages)}", field="inputs"
        )
    arrays = []
    rows, first = NO_BATCH, 0
    for position, (message, wanted, mapped) in enumerate(
        zip(messages, plan.inputs, plan.mapped, strict=True)
    ):
        array = None if mapped else _read_as_wanted(message, wanted)
        if array is None:
            array = _read(message, wanted, mapped, position)
        arrays.append(array)
        if not mapped:
            continue
        if rows == NO_BATCH:
            rows, first = array.shape[0], position
        elif array.shape[0] != rows:
            raise InvalidInputError(
                f"`inputs[{position}]` must have as many rows as `inputs[{first}]`; "
                f"got {array.shape[0]} and {rows}",
                field=f"inputs[{position}]",
            )
    return arrays, rows


def _read_as_wanted(message: pb.Input, wanted: TensorType) -> Array | None:
    """Reads an input that has the plan's form; returns None for any other.

    Most have it, and for a small call the full checks take as long as the run.
    """
    tensor = message.tensor
    dtype = wanted.dtype
    if (
        tensor.dtype != TO_WIRE[dtype]
        or tensor.shape != list(wanted.shape)
        or dtype.kind == "b"  # its bytes must be checked
        or len(UnknownFieldSet(message))
        or len(UnknownFieldSet(tensor))
    ):
        return None
    data = tensor.data  # each access to it makes a copy
    if len(data) != wanted.nbytes:
        return None
    return np.frombuffer(data, dtype).reshape(wanted.shape)


def _read(message: pb.Input, wanted: TensorType, mapped: bool, position: int) -> Array:
    """Reads an input with every check."""
    field = f"inputs[{position}]"
    reject_unknown_fields(message, field)
    if not message.HasField("tensor"):
        raise InvalidProgramError(
            f"`{field}.source` must be set; got nothing",
            reason=Reason.ERROR_REASON_INVALID_REQUEST,
            field=f"{field}.source",
        )
    array = decode_tensor(message.tensor, field)
    shape = array.shape[1:] if mapped else array.shape
    if array.dtype != wanted.dtype or shape != wanted.shape or (mapped and not array.ndim):
        axes = ",".join([*(["B"] if mapped else []), *map(str, wanted.shape)])
        raise InvalidInputError(
            f"`{field}` must be {wanted.dtype.name}[{axes}]; got {type_of(array)}", field=field
        )
    return array
