"""A plan: one program under one precision on this server, and its identity.

Plain data: it must know nothing of how programs are compiled, held or run.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gradwire.tensors import TensorType
from gradwire_server.planner.choices import Choice
from gradwire_server.planner.plan import PlannedProgram

ID_LENGTH = 32
"""Hex digits of a plan id."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A program that is ready to be compiled, or was.

    Attributes:
        id: The name that clients know it by.
        key: Everything that can change its results, as bytes.
        program: The program's bytes, as a caller sent them.
        precision: One of ``gradwire.ir.precision.PRECISIONS``.
        planned: What is known of the program. Its choices are no part of the plan's
            identity: another choice is another way to the same results.
        is_mapped: Whether any input has a batch axis.
    """

    id: str
    key: bytes
    program: bytes
    precision: str
    planned: PlannedProgram
    is_mapped: bool

    @property
    def inputs(self) -> tuple[TensorType, ...]:
        """The types of the inputs; of one sample where they are mapped."""
        return self.planned.inputs

    @property
    def outputs(self) -> tuple[TensorType, ...]:
        """The types of the outputs; of one sample if any input is mapped."""
        return self.planned.outputs

    @property
    def mapped(self) -> tuple[bool, ...]:
        """For each input whether it has a batch axis."""
        return self.planned.mapped

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What was decided where the program left a choice."""
        return self.planned.choices


def make_plan(planned: PlannedProgram, program: bytes, precision: str, environment: str) -> Plan:
    """Makes the plan of a program.

    Args:
        planned: What is known of the program.
        program: Its bytes.
        precision: One of ``gradwire.ir.precision.PRECISIONS``.
        environment: Names everything outside of it that can change its results.
    """
    key = plan_key(planned.canonical, precision, environment)
    return Plan(
        id=hashlib.sha256(key).hexdigest()[:ID_LENGTH],
        key=key,
        program=program,
        precision=precision,
        planned=planned,
        is_mapped=any(planned.mapped),
    )


def plan_key(program: bytes, precision: str, environment: str) -> bytes:
    """Joins the parts of a key so that no two lists of parts give the same bytes."""
    return join_parts([b"gradwire plan 1", program, precision.encode(), environment.encode()])


def executable_key(plan: Plan, bucket: int) -> bytes:
    """Returns what names one executable of a plan: with the choices, and the rows of a batch."""
    choices = [f"{c.function} {c.node} {c.name}={c.value}".encode() for c in plan.choices]
    return join_parts([plan.key, str(bucket).encode(), *choices])


def join_parts(parts: Sequence[bytes]) -> bytes:
    """Writes each part after its length."""
    return b"".join(struct.pack("<Q", len(part)) + part for part in parts)
