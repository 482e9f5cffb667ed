from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradwire.errors import GradwireError, InvalidProgramError, Reason
from gradwire.ir import Program, encode_program
from gradwire.v1 import function_pb2 as pb
from programs import function, node, program, vector

MALFORMED = Reason.ERROR_REASON_MALFORMED_PROGRAM
INVALID = Reason.ERROR_REASON_INVALID_PROGRAM

Edit = Callable[[pb.Program], object]


@dataclass(frozen=True)
class BadProgram:
    """A program with what its error must be."""

    name: str
    data: bytes
    field: str
    reason: Reason = INVALID
    error: type[GradwireError] = InvalidProgramError

    @property
    def place(self) -> tuple[int | None, int | None]:
        """The function and the node that the error must name: those of the field."""
        found = re.match(r"functions\[(\d+)\](?:\.nodes\[(\d+)\])?", self.field)
        if found is None:
            return None, None
        return int(found[1]), None if found[2] is None else int(found[2])


CUBE = function(
    [vector(3)],
    node("integer_pow", [0], 2, exponent=3),
    node("add", [2, 1], 3),
    results=[3],
    constants=[np.arange(3.0)],
)
GOOD = program(
    CUBE,
    function([vector(3)], node("call", [0], 1, functions=[0]), node("sin", [1], 2), results=[2]),
)
"""sin(x**3 + [0, 1, 2]); what many bad programs were before something was done to them."""


def edited(
    name: str,
    edit: Edit,
    field: str,
    reason: Reason = INVALID,
    error: type[GradwireError] = InvalidProgramError,
) -> BadProgram:
    """``GOOD`` after an edit of its message."""
    message = pb.Program.FromString(encode_program(GOOD))
    edit(message)
    return BadProgram(name, message.SerializeToString(), field, reason, error)


def written(name: str, bad: Program, field: str) -> BadProgram:
    """A program that breaks a rule of the language."""
    return BadProgram(name, encode_program(bad), field)


def constant(message: pb.Program) -> pb.Constant:
    """The one constant of ``GOOD``."""
    return message.functions[0].constants[0]


def attr(message: pb.Program) -> pb.NamedAttr:
    """The one attribute of ``GOOD``."""
    return message.functions[0].nodes[0].attrs[0]


def add_attr(name: str, **kind: object) -> Edit:
    """Adds an attribute after that one."""
    value = pb.Attr(**kind)  # type: ignore[arg-type]
    return lambda m: m.functions[0].nodes[0].attrs.append(pb.NamedAttr(name=name, value=value))
