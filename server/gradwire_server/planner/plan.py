"""Plans a verified program: settles what it leaves open, and checks the result."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.ir import TypedProgram
from gradwire.opset import FAMILIES, OPS
from gradwire.tensors import TensorType
from gradwire_server.planner.choices import Choice, apply_choices
from gradwire_server.planner.directions import ClosedParams, find_closed_params
from gradwire_server.planner.modes import CHOOSERS
from gradwire_server.program.bounds import FunctionSize, measure_functions
from gradwire_server.program.canonical_form import canonical_bytes
from gradwire_server.program.differentiability import check_derivatives
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import VerifiedProgram

NO_OPERATOR = "function"
SEVERAL_OPERATORS = "several"


@dataclass(frozen=True, slots=True)
class PlannedProgram:
    """What a server needs besides the bytes of a program that may be compiled.

    Attributes:
        canonical: Its identity; see ``canonical_form``.
        choices: What it leaves open, by function and node.
        inputs: The types of the entry's parameters; of one sample where they are mapped.
        outputs: The types of its results; of one sample if any parameter is mapped.
        mapped: For each parameter whether it has a batch axis.
        size: How large the entry is with these choices.
        widest_bytes: Bytes of the largest tensor of the entry, of one sample.
        operator: The derivative that it computes, for metrics and logs.
    """

    canonical: bytes
    choices: tuple[Choice, ...]
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    mapped: tuple[bool, ...]
    size: FunctionSize
    widest_bytes: int
    operator: str


def plan_program(verified: VerifiedProgram, limits: ProgramLimits | None = None) -> PlannedProgram:
    """Chooses, and checks the bounds and the derivatives of what was chosen.

    Raises:
        LimitExceededError: a bound is passed.
        UnsupportedError: an op is differentiated that has no derivative.
    """
    choices = choose(verified)
    settled = apply_choices(verified, choices)
    sizes = measure_functions(settled, limits or ProgramLimits()) if choices else verified.sizes
    entry = settled.program.entry
    check_derivatives(settled.program.functions, settled.infos, entry)
    return PlannedProgram(
        canonical=canonical_bytes(verified),
        choices=choices,
        inputs=verified.entry.signature.params,
        outputs=verified.entry.signature.results,
        mapped=verified.program.mapped,
        size=sizes[entry],
        widest_bytes=max((t.nbytes for t in verified.entry.types.values()), default=0),
        operator=name_operator(verified),
    )


def choose(typed: TypedProgram) -> tuple[Choice, ...]:
    """Returns what is decided at each node that leaves something open."""
    closed: tuple[ClosedParams, ...] | None = None
    found: list[Choice] = []
    for index, (function, info) in enumerate(
        zip(typed.program.functions, typed.infos, strict=True)
    ):
        for position, (node, call) in enumerate(zip(function.nodes, info.calls, strict=True)):
            if node.op not in CHOOSERS:
                continue
            if closed is None:
                closed = find_closed_params(typed)
            leaves = [call.attrs["num_captures"] + place for place in call.attrs["wrt"]]
            directions = closed[node.functions[0]].directions(leaves)
            chosen = CHOOSERS[node.op](call, directions)
            found += [Choice(index, position, *item) for item in sorted(chosen.items())]
    return tuple(found)


def name_operator(typed: TypedProgram) -> str:
    """Returns the name of the derivative that the entry holds outermost.

    It is one of the opset's names or one of two other words, so that it can be
    the label of a metric.
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
