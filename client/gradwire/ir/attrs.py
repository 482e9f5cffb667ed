"""Writes attributes to messages, with their kinds from the opset's table."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from gradwire.opset import OPS
from gradwire.opset.core import At, ByArray, Kind, NewAxis, Range
from gradwire.tensors import TO_WIRE, TensorType, encode_type
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
    """Returns the kind of an op's attribute, or None if the table has no such attribute."""
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
