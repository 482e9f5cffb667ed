"""Reads programs from bytes. Strict: it refuses what it can't read completely.

It checks the form of a program, and none of the language's rules.
"""

from __future__ import annotations

import re

from google.protobuf.message import DecodeError

from gradwire.errors import (
    InvalidProgramError,
    LimitExceededError,
    Reason,
    UnsupportedError,
)
from gradwire.ir.attrs import kind_in_table
from gradwire.ir.program import Constant, Function, Node, Param, Program
from gradwire.opset import OPSET_VERSION
from gradwire.opset.core import AttrValue
from gradwire.tensors import decode_tensor, decode_type
from gradwire.v1 import function_pb2 as pb
from gradwire_server.program.attrs import decode_attr, read_located
from gradwire_server.program.exceeded import exceeded
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.unknown_fields import has_unknown_fields, reject_unknown_fields
from gradwire_server.program.wire_items import check_items

_MALFORMED = Reason.ERROR_REASON_MALFORMED_PROGRAM
_PLACE = re.compile(r"functions\[(\d+)\](?:\.nodes\[(\d+)\])?")


def decode_program(data: bytes, limits: ProgramLimits) -> Program:
    """Reads a program. Its rules remain to be checked by ``verify_program``.

    Raises:
        LimitExceededError: too many bytes, items, functions or nodes.
        InvalidProgramError: the bytes are no program, hold a field that this
            version doesn't know, or leave out what is required.
        UnsupportedError: unknown opset; its programs may have another form.
    """
    if len(data) > limits.max_program_bytes:
        raise exceeded("max_program_bytes", limits.max_program_bytes, len(data))
    _check_items(data, limits.max_program_items)
    message = _parse(data)
    if message.opset != OPSET_VERSION:
        raise UnsupportedError(
            f"`opset` must be {OPSET_VERSION}; got {message.opset}",
            reason=Reason.ERROR_REASON_UNKNOWN_OPSET,
            field="opset",
        )
    # The entry need not use them all, but each is checked, in Python.
    written = sum(len(function.nodes) for function in message.functions)
    for limit, allowed, got in (
        ("max_functions", limits.max_functions, len(message.functions)),
        ("max_nodes", limits.max_nodes, written),
    ):
        if got > allowed:
            raise exceeded(limit, allowed, got)
    if has_unknown_fields(message):
        _refuse_unknown_fields(_parse(data))
    return Program(
        tuple(_decode_function(f, index) for index, f in enumerate(message.functions)),
        message.entry,
        tuple(message.mapped),
        message.opset,
    )


def _check_items(data: bytes, allowed: int) -> None:
    try:
        check_items(data, pb.Program, "max_program_items", allowed)
    except LimitExceededError:
        raise
    except InvalidProgramError:
        raise _malformed() from None


def _parse(data: bytes) -> pb.Program:
    message = pb.Program()
    try:
        message.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError):  # the latter without the C extension
        raise _malformed() from None
    return message


def _malformed() -> InvalidProgramError:
    return InvalidProgramError(
        "`program` must be a serialised gradwire.v1.Program; the bytes don't parse",
        reason=_MALFORMED,
        field="program",
    )


def _refuse_unknown_fields(message: pb.Program) -> None:
    try:
        reject_unknown_fields(message, "", reason=_MALFORMED)
    except InvalidProgramError as error:
        if found := _PLACE.match(error.field):
            error.function = int(found[1])
            error.node = int(found[2]) if found[2] else None
        raise


def _decode_function(message: pb.Function, index: int) -> Function:
    where = f"functions[{index}]"
    params = tuple(
        Param(
            param.id,
            read_located(decode_type, param.type, f"{where}.params[{position}].type", index),
        )
        for position, param in enumerate(message.params)
    )
    constants = tuple(
        Constant(
            c.id,
            read_located(decode_tensor, c.value, f"{where}.constants[{position}].value", index),
        )
        for position, c in enumerate(message.constants)
    )
    nodes = tuple(
        Node(
            node.op,
            tuple(node.inputs),
            tuple(node.outputs),
            _decode_attrs(node, index, position) if node.attrs else {},
            tuple(node.functions),
        )
        for position, node in enumerate(message.nodes)
    )
    rule, rules = message.custom_jvp, message.custom_vjp
    return Function(
        message.name,
        params,
        constants,
        nodes,
        tuple(message.results),
        rule.rule if message.HasField("custom_jvp") else None,
        (rules.forward, rules.backward) if message.HasField("custom_vjp") else None,
    )


def _decode_attrs(node: pb.Node, function: int, position: int) -> dict[str, AttrValue]:
    attrs: dict[str, AttrValue] = {}
    last = ""
    for place, attr in enumerate(node.attrs):
        where = f"functions[{function}].nodes[{position}].attrs[{place}]"
        name = attr.name
        if name <= last:
            raise InvalidProgramError(
                f"`{where}.name` must come after the name before it, {last[:80]!r}; "
                f"got {name[:80]!r}",
                field=f"{where}.name",
                function=function,
                node=position,
            )
        last = name
        wanted = kind_in_table(node.op, name)
        attrs[name] = decode_attr(attr.value, wanted, f"{where}.value", function, position)
    return attrs
