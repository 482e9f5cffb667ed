"""Attributes to messages and back, with their kinds from the opset's table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from gradwire.errors import InvalidInputError, InvalidProgramError, Reason
from gradwire.opset import OPS
from gradwire.opset.core import At, AttrValue, ByArray, Index, Kind, NewAxis, Range
from gradwire.tensors import FROM_WIRE, TO_WIRE, TensorType, decode_type, encode_type
from gradwire.v1 import function_pb2 as pb

_T = TypeVar("_T")

_SCALARS: dict[type, Kind] = {
    bool: Kind.BOOL,
    int: Kind.INT,
    float: Kind.FLOAT,
    complex: Kind.COMPLEX,
    str: Kind.WORD,
    TensorType: Kind.TYPE,
}
_MEMBERS: dict[type, Kind] = {
    int: Kind.INTS,
    float: Kind.FLOATS,
    str: Kind.WORDS,
    At: Kind.INDEX,
    Range: Kind.INDEX,
    NewAxis: Kind.INDEX,
    ByArray: Kind.INDEX,
}


def kind_in_table(op: str, name: str) -> Kind | None:
    """Returns the kind of an op's attribute, or None where the table has no such."""
    entry = OPS.get(op)
    spec = entry.attrs.get(name) if entry is not None else None
    return spec.kind if spec is not None else None


def encode_attr(target: pb.Attr, value: Any, wanted: Kind | None) -> None:
    """Writes a value as what it is; where several kinds fit, as the one wanted.

    Raises:
        KeyError: a dtype that the wire doesn't have.
        ValueError: a value that no kind holds.
    """
    kind = _kind_of(value, wanted)
    match kind:
        case Kind.COMPLEX:
            target.c.CopyFrom(pb.Complex(re=value.real, im=value.imag))
        case Kind.DTYPE:
            target.dtype = TO_WIRE[value]
        case Kind.INTS:
            target.ints.CopyFrom(pb.Ints(values=value))
        case Kind.FLOATS:
            target.doubles.CopyFrom(pb.Doubles(values=value))
        case Kind.WORDS:
            target.strings.CopyFrom(pb.Strings(values=value))
        case Kind.INDEX:
            target.index.CopyFrom(pb.IndexSpec(items=map(_encode_item, value)))
        case Kind.TYPE:
            target.type.CopyFrom(encode_type(value))
        case _:
            setattr(target, kind, value)


def _encode_item(item: At | Range | NewAxis | ByArray) -> pb.IndexItem:
    match item:
        case At(position):
            return pb.IndexItem(at=position)
        case Range(start, stop, step):
            return pb.IndexItem(slice=pb.Slice(start=start, stop=stop, step=step))
        case NewAxis():
            return pb.IndexItem(new_axis=True)
        case ByArray():
            return pb.IndexItem(array=True)


def _kind_of(value: Any, wanted: Kind | None) -> Kind:
    """Returns the kind of a value; where several fit, as for (), the table's.

    Raises:
        ValueError: no kind holds it.
    """
    if isinstance(value, np.dtype):
        return Kind.DTYPE
    if type(value) in _SCALARS:
        return _SCALARS[type(value)]
    if isinstance(value, tuple):
        lists = (Kind.INTS, Kind.FLOATS, Kind.WORDS, Kind.INDEX)
        kinds = {_MEMBERS.get(type(member)) for member in value}
        if not kinds:
            return wanted if wanted in lists else Kind.INTS
        kind = kinds.pop()
        if kind is not None and not kinds:
            return kind
    raise ValueError("no kind of attribute holds it")


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
        InvalidProgramError: it is of another kind, or not there.
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
    """Reads a tensor or a type; what is wrong with it is the program's fault.

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
