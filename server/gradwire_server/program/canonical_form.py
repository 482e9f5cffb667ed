"""The identity of a program: equal for programs that compute the same in the same way.

Every string is preceded by its length, every list by its count and every value
by its kind, so the bytes can be read back in one way only. Whole encodings are
compared, never their hashes alone. It doesn't depend on the bytes on the wire.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from gradwire.ir.infer import TypedProgram
from gradwire.ir.program import Program
from gradwire.opset.core import At, ByArray, Call, NewAxis, Range
from gradwire.tensors import TensorType, encode_tensor

_FORMAT = b"gradwire.program.1"


def canonical_bytes(typed: TypedProgram) -> bytes:
    """Returns the encoding of everything that can change a result of a program.

    Names are left out, and so are functions that the entry never uses. Ids are
    numbered in the order of their definition, functions in that of their first
    use, callees and rules first. Attributes have their defaults filled in. Floats are
    their IEEE bits.
    """
    program = typed.program
    order = _reachable(program)
    numbers = {function: number for number, function in enumerate(order)}
    parts = [_text(_FORMAT), _count(program.opset), _count(len(program.mapped))]
    parts.extend(_count(flag) for flag in program.mapped)
    parts.append(_count(len(order)))
    for function in order:
        _write_function(parts, program, function, typed.infos[function].calls, numbers)
    return b"".join(parts)


def _reachable(program: Program) -> list[int]:
    """Returns the functions that the entry uses and itself, callees first.

    A rule can use the function that it is for, which then comes after the rule.
    """
    order: list[int] = []
    seen: set[int] = set()
    pending = [(program.entry, False)]
    while pending:
        index, finished = pending.pop()
        if finished:
            order.append(index)
        elif index not in seen:
            seen.add(index)
            pending.append((index, True))
            function = program.functions[index]
            uses = [callee for node in function.nodes for callee in node.functions]
            uses.extend(function.rules)
            pending.extend((callee, False) for callee in reversed(uses))
    return order


def _write_function(
    parts: list[bytes],
    program: Program,
    index: int,
    calls: tuple[Call, ...],
    numbers: dict[int, int],
) -> None:
    function = program.functions[index]
    ids: dict[int, int] = {}

    def define(name: int) -> None:
        ids[name] = len(ids)

    parts.append(_count(len(function.params)))
    for param in function.params:
        define(param.id)
        parts.append(_type(param.type))
    parts.append(_count(len(function.constants)))
    for constant in function.constants:
        define(constant.id)
        message = encode_tensor(constant.value)
        parts += [
            _type(TensorType(constant.value.dtype, constant.value.shape)),
            _text(message.data),
        ]
    parts.append(_count(len(function.nodes)))
    for node, call in zip(function.nodes, calls, strict=True):
        parts += [_text(node.op.encode()), _counts(ids[name] for name in node.inputs)]
        parts.append(_count(len(node.outputs)))
        for name in node.outputs:
            define(name)
        parts.append(_count(len(call.attrs)))
        for attr in sorted(call.attrs):
            parts += [_text(attr.encode()), _value(call.attrs[attr])]
        parts.append(_counts(numbers[callee] for callee in node.functions))
    parts.append(_counts(ids[name] for name in function.results))
    # None, one or two: their number tells which kind they are.
    parts.append(_counts(numbers[rule] for rule in function.rules))


def _value(value: Any) -> bytes:
    """Writes an attribute: a letter for its kind, then itself.

    bool is tested before int, of which it is a subclass.
    """
    match value:
        case None:
            return b"n"
        case bool():
            return b"b" + _count(value)
        case int():
            return b"i" + _text(str(value).encode())
        case float():
            return b"f" + struct.pack("<d", value)
        case complex():
            return b"c" + struct.pack("<2d", value.real, value.imag)
        case str():
            return b"s" + _text(value.encode())
        case np.dtype():
            return b"d" + _text(value.name.encode())
        case TensorType():
            return b"t" + _type(value)
        case At(position):
            return b"@" + _value(position)
        case Range(start, stop, step):
            return b":" + _value(start) + _value(stop) + _value(step)
        case NewAxis():
            return b"+"
        case ByArray():
            return b"a"
        case tuple():
            return b"l" + _count(len(value)) + b"".join(map(_value, value))
    raise TypeError(f"an attribute must have a kind of `Attr`; got {value!r}")


def _type(tensor_type: TensorType) -> bytes:
    return _text(tensor_type.dtype.name.encode()) + _counts(tensor_type.shape)


def _counts(numbers: Iterable[int]) -> bytes:
    listed = tuple(numbers)
    return struct.pack(f"<{len(listed) + 1}Q", len(listed), *listed)


def _count(number: int) -> bytes:
    return struct.pack("<Q", number)


def _text(text: bytes) -> bytes:
    return _count(len(text)) + text
