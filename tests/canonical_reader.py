"""Writes canonical encodings, reads them back, and says what a program is without its names."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradwire.ir import Program
from gradwire.opset import OPS
from gradwire.opset.core import At, ByArray, NewAxis, Range
from gradwire.tensors import TensorType
from gradwire_server.program.canonical_form import canonical_bytes
from gradwire_server.program.verify import verify_program


def encoded(program: Program) -> bytes:
    """What is read here: the canonical encoding of a program."""
    return canonical_bytes(verify_program(program))


def exact(value: Any) -> Any:
    """A value with its type, and with its floats as bits."""
    match value:
        case float():
            return float, struct.pack("<d", value)
        case complex():
            return complex, struct.pack("<2d", value.real, value.imag)
        case tuple():
            return tuple, tuple(map(exact, value))
        case At(position):
            return At, position
        case Range(start, stop, step):
            return Range, (start, stop, step)
    return type(value), value


def normal(value: Program) -> Any:
    """A program without its names, written here in another way than in the module."""
    order: list[int] = []
    seen = set()

    def visit(index: int) -> None:
        if index in seen:
            return
        seen.add(index)
        for used in value.functions[index].nodes:
            for callee in used.functions:
                visit(callee)
        for rule in value.functions[index].rules:
            visit(rule)
        order.append(index)

    visit(value.entry)
    functions = []
    for index in order:
        f = value.functions[index]
        ids = [p.id for p in f.params] + [c.id for c in f.constants]
        ids += [name for n in f.nodes for name in n.outputs]
        nodes = []
        for n in f.nodes:
            attrs = {k: exact(n.attrs.get(k, s.default)) for k, s in OPS[n.op].attrs.items()}
            callees = tuple(order.index(callee) for callee in n.functions)
            inputs = tuple(ids.index(name) for name in n.inputs)
            nodes.append((n.op, inputs, len(n.outputs), attrs, callees))
        constants = [((c.value.dtype.name, c.value.shape), c.value.tobytes()) for c in f.constants]
        results = tuple(ids.index(name) for name in f.results)
        params = [(p.type.dtype.name, p.type.shape) for p in f.params]
        rules = tuple(order.index(rule) for rule in f.rules)
        functions.append((params, constants, nodes, results, rules))
    return value.opset, value.mapped, functions


class Reader:
    """Reads what ``canonical_bytes`` writes: that it can be done shows that nothing is lost."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def program(self) -> Any:
        assert self.text() == b"gradwire.program.1"
        opset = self.count()
        mapped = tuple(bool(self.count()) for _ in range(self.count()))
        functions = [self.function() for _ in range(self.count())]
        assert self._at == len(self._data)
        return opset, mapped, functions

    def function(self) -> Any:
        params = [self.type() for _ in range(self.count())]
        constants = [(self.type(), self.text()) for _ in range(self.count())]
        nodes = [
            (
                self.text().decode(),
                self.counts(),
                self.count(),
                {self.text().decode(): self.value() for _ in range(self.count())},
                self.counts(),
            )
            for _ in range(self.count())
        ]
        return params, constants, nodes, self.counts(), self.counts()

    def value(self) -> Any:
        letter = self.take(1)
        readers: Mapping[bytes, Callable[[], Any]] = {
            b"n": lambda: (type(None), None),
            b"b": lambda: (bool, bool(self.count())),
            b"i": lambda: (int, int(self.text())),
            b"f": lambda: (float, self.take(8)),
            b"c": lambda: (complex, self.take(16)),
            b"s": lambda: (str, self.text().decode()),
            b"d": lambda: exact(np.dtype(self.text().decode())),
            b"t": lambda: (TensorType, self.tensor_type()),
            b"@": lambda: (At, self.value()[1]),
            b":": lambda: (Range, tuple(self.value()[1] for _ in range(3))),
            b"+": lambda: (NewAxis, NewAxis()),
            b"a": lambda: (ByArray, ByArray()),
            b"l": lambda: (tuple, tuple(self.value() for _ in range(self.count()))),
        }
        return readers[letter]()

    def tensor_type(self) -> TensorType:
        name, shape = self.type()
        return TensorType(np.dtype(name), shape)

    def type(self) -> Any:
        return self.text().decode(), self.counts()

    def count(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def counts(self) -> tuple[int, ...]:
        return tuple(self.count() for _ in range(self.count()))

    def text(self) -> bytes:
        return self.take(self.count())

    def take(self, length: int) -> bytes:
        self._at += length
        assert self._at <= len(self._data)
        return self._data[self._at - length : self._at]
