"""Settles what a program leaves open, by setting attributes of its nodes.

A choice is a value for one attribute of one node. So a program with its choices is a
program of the same language, and a caller may settle an attribute in advance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gradwire.ir import Program, TypedProgram, infer_types


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision of the planner. See `Choice` in service.proto.

    Attributes:
        function: The index of the function.
        node: The index of the node in it.
        name: The attribute that is set.
        value: Its value.
    """

    function: int
    node: int
    name: str
    value: str


def apply_choices(typed: TypedProgram, choices: Sequence[Choice]) -> TypedProgram:
    """Returns the program in which nothing is left open; the same one if nothing was.

    Raises:
        InvalidProgramError: a choice is not one that the node offers.
    """
    if not choices:
        return typed
    settled: dict[tuple[int, int], dict[str, str]] = defaultdict(dict)
    for choice in choices:
        settled[choice.function, choice.node][choice.name] = choice.value
    functions = list(typed.program.functions)
    for index in {choice.function for choice in choices}:
        nodes = tuple(
            replace(node, attrs={**node.attrs, **settled[index, position]})
            if (index, position) in settled
            else node
            for position, node in enumerate(functions[index].nodes)
        )
        functions[index] = replace(functions[index], nodes=nodes)
    program: Program = replace(typed.program, functions=tuple(functions))
    return infer_types(program)
