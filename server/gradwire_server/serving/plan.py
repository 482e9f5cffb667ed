"""A plan: one program under one precision on this server, and its identity.

Knows nothing of how programs are compiled, held or run.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gradwire.ir import TypedProgram
from gradwire.opset import FAMILIES, OPS
from gradwire.tensors import TensorType
from gradwire_server.planner.choices import Choice
from gradwire_server.planner.plan import PlannedProgram
from gradwire_server.program.bounds import FunctionSize
from gradwire_server.program.canonical_form import canonical_bytes
from gradwire_server.program.verify import VerifiedProgram

ID_LENGTH = 32
"""Hex digits of a plan id."""

NO_OPERATOR = "function"
SEVERAL_OPERATORS = "several"


@dataclass(frozen=True, slots=True)
class Plan:
    """A program that is ready to be compiled, or was.

    Attributes:
        id: The name that clients know it by.
        key: Everything that can change its results, as bytes.
        program: The program.
        precision: One of ``gradwire.ir.precision.PRECISIONS``.
        inputs: The types of the inputs; of one sample where they are mapped.
        outputs: The types of the outputs; of one sample if any input is mapped.
        mapped: For each input whether it has a batch axis.
        is_mapped: Whether any has.
        widest_bytes: Bytes of the largest tensor of the entry, of one sample.
        choices: What was decided where the program left a choice. They are no part of
            its identity: another choice is another way to the same results.
        size: How large it is with these choices.
        operator: The derivative that it is about, for metrics and logs.
    """

    id: str
    key: bytes
    program: VerifiedProgram
    precision: str
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    mapped: tuple[bool, ...]
    is_mapped: bool
    widest_bytes: int
    choices: tuple[Choice, ...]
    size: FunctionSize
    operator: str


def make_plan(planned: PlannedProgram, precision: str, environment: str) -> Plan:
    """Makes the plan of a program.

    Args:
        planned: The program and what was chosen for it.
        precision: One of ``gradwire.ir.precision.PRECISIONS``.
        environment: Names everything outside of it that can change its results.
    """
    typed = planned.verified
    key = plan_key(canonical_bytes(typed), precision, environment)
    return Plan(
        id=hashlib.sha256(key).hexdigest()[:ID_LENGTH],
        key=key,
        program=typed,
        precision=precision,
        inputs=typed.entry.signature.params,
        outputs=typed.entry.signature.results,
        mapped=typed.program.mapped,
        is_mapped=any(typed.program.mapped),
        widest_bytes=max((t.nbytes for t in typed.entry.types.values()), default=0),
        choices=planned.choices,
        size=planned.size,
        operator=name_operator(typed),
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


def name_operator(typed: TypedProgram) -> str:
    """Names the derivative that the entry holds outermost.

    The answer is one of the opset's names or one of two words more, so that
    it can be the label of a metric.
    """
    nodes = typed.program.functions[typed.program.entry].nodes
    found = {
        node.op
        for node, call in zip(nodes, typed.entry.calls, strict=True)
        if OPS[node.op].orders_of(call) and OPS[node.op] in FAMILIES["operator"]
    }
    if len(found) > 1:
        return SEVERAL_OPERATORS
    return found.pop() if found else NO_OPERATOR
