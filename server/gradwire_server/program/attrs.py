"""Reads attributes from messages, with their kinds from the opset's table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gradwire.errors import InvalidInputError, InvalidProgramError, Reason
from gradwire.opset.core import At, AttrValue, ByArray, Index, Kind, NewAxis, Range
from gradwire.tensors import FROM_WIRE, decode_type
from gradwire.v1 import function_pb2 as pb

_T = TypeVar("_T")


def decode_attr(
    message: pb.Attr, wanted: Kind | None, where: str, function: int, node: int
) -> AttrValue:
    """Reads a value.

    Args:
        message: The value.
        wanted: The kind that it must have, or None for any.
        where: Its path, for errors.
        function: The index of its function.
        node: The index of its node.

    Raises:
        InvalidProgramError: it is of another kind, or missing.
    """
    found = message.WhichOneof("kind")
    if found is None:
        raise _missing(f"{where}.kind", "be set", "nothing", function, node)
    kind = Kind(found)
    if wanted is not None and kind is not wanted:
        raise InvalidProgramError(
            f"`{where}` must be of kind `{wanted}`; got `{kind}`",
            field=where,
            function=function,
            node=node,
        )
    match kind:
        case Kind.COMPLEX:
            return complex(message.c.re, message.c.im)
        case Kind.DTYPE:
            dtype = FROM_WIRE.get(message.dtype)
            if dtype is None:
                raise _missing(
                    where, "be a value of Dtype other than 0", int(message.dtype), function, node
                )
            return dtype
        case Kind.INTS:
            return tuple(message.ints.values)
        case Kind.FLOATS:
            return tuple(message.doubles.values)
        case Kind.WORDS:
            return tuple(message.strings.values)
        case Kind.INDEX:
            return _decode_index(message.index, where, function, node)
        case Kind.TYPE:
            return read_located(decode_type, message.type, where, function, node)
    value: AttrValue = getattr(message, found)
    return value


def _decode_index(message: pb.IndexSpec, where: str, function: int, node: int) -> Index:
    items: list[At | Range | NewAxis | ByArray] = []
    for position, item in enumerate(message.items):
        match item.WhichOneof("kind"):
            case "at":
                items.append(At(item.at))
            case "slice":
                bounds = item.slice
                items.append(
                    Range(
                        bounds.start if bounds.HasField("start") else None,
                        bounds.stop if bounds.HasField("stop") else None,
                        bounds.step if bounds.HasField("step") else None,
                    )
                )
            case "new_axis" if item.new_axis:
                items.append(NewAxis())
            case "array" if item.array:
                items.append(ByArray())
            case None:
                path = f"{where}.index.items[{position}].kind"
                raise _missing(path, "be set", "nothing", function, node)
            case name:
                path = f"{where}.index.items[{position}].{name}"
                raise _missing(path, "be true", "false", function, node)
    return tuple(items)


def read_located(
    decode: Callable[[Any, str], _T],
    message: Any,
    where: str,
    function: int,
    node: int | None = None,
) -> _T:
    """Reads a tensor or a type; its errors are errors of the program.

    Raises:
        InvalidProgramError: where ``decode`` raises ``InvalidInputError``.
    """
    try:
        return decode(message, where)
    except InvalidInputError as error:
        raise InvalidProgramError(
            error.message, field=error.field, function=function, node=node
        ) from None


def _missing(field: str, rule: str, got: object, function: int, node: int) -> InvalidProgramError:
    return InvalidProgramError(
        f"`{field}` must {rule}; got {got}",
        reason=Reason.ERROR_REASON_MALFORMED_PROGRAM,
        field=field,
        function=function,
        node=node,
    )
