from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canonical_reader import Reader, normal
from gradwire.errors import GradwireError
from gradwire.ir import Constant, Function, Param, Program
from gradwire.opset import OPS
from gradwire_server.program.canonical_form import canonical_bytes
from gradwire_server.program.verify import verify_program
from programs import chain, function, node, program, vector

V = vector(3)
examples = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def encoded(value: Program) -> bytes:
    return canonical_bytes(verify_program(value))


# --- programs at random, and what must not change them -------------------------------


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Programs of three-vectors, with constants, attributes and functions that use others."""
    functions: list[Function] = []
    for index in range(draw(st.integers(1, 4))):
        params = [V] * draw(st.integers(1, 2))
        numbers = st.lists(st.floats(), min_size=3, max_size=3).map(np.array)
        constants = draw(st.lists(numbers, max_size=2))
        defined = len(params) + len(constants)
        nodes = []
        for _ in range(draw(st.integers(0, 4))):
            choices = ["sin", "cos", "add", "multiply", "integer_pow"]
            op = draw(st.sampled_from([*choices, "call", "checkpoint", "jvp"][: 8 if index else 5]))
            attrs: dict[str, Any] = {}
            used, operands, outputs = [], OPS[op].arity[0], 1
            if op == "integer_pow":
                attrs["exponent"] = draw(st.integers(0, 3))
            if OPS[op].num_functions:
                used = [draw(st.integers(0, index - 1))]
                operands, outputs = len(functions[used[0]].params), len(functions[used[0]].results)
            if op == "jvp":
                operands, outputs = operands + 1, 2 * outputs
                attrs = draw(st.sampled_from([{}, {"num_aux": 0}, {"wrt": (0,)}]))
            inputs = [draw(st.integers(0, defined - 1)) for _ in range(operands)]
            new = range(defined, defined + outputs)
            nodes.append(node(op, inputs, *new, functions=used, **attrs))
            defined += outputs
        results = draw(st.lists(st.integers(0, defined - 1), min_size=1, max_size=2))
        functions.append(function(params, *nodes, results=results, constants=constants))
    flags = draw(st.lists(st.booleans(), min_size=len(params), max_size=len(params)))
    plain = program(*functions, mapped=flags)
    ruled = with_rules(draw, plain)
    try:
        verify_program(ruled)
    except GradwireError:  # a forward sweep through custom_vjp, or a rule without end
        return plain
    return ruled


def with_rules(draw: st.DrawFn, original: Program) -> Program:
    """Gives some functions rules, all after them, that use the function or another."""
    table = list(original.functions)
    for index in draw(st.sets(st.integers(0, len(table) - 1))):
        count, results = len(table[index].params), len(table[index].results)
        used = draw(st.sampled_from([i for i, f in enumerate(table) if same(f, table[index])]))
        outputs = range(2 * count, 2 * count + results)
        call = node("call", range(count), *outputs, functions=[used])
        if draw(st.booleans()):
            table[index] = replace(table[index], custom_jvp=len(table))
            moved = [draw(st.integers(count, 2 * count - 1)) for _ in range(results)]
            table.append(function([V] * 2 * count, call, results=[*outputs, *moved]))
        else:
            kept = draw(st.lists(st.integers(0, count - 1), max_size=2))
            table[index] = replace(table[index], custom_vjp=(len(table), len(table) + 1))
            shifted = replace(call, outputs=tuple(range(count, count + results)))
            ends = range(count, count + results)
            table.append(function([V] * count, shifted, results=[*ends, *kept]))
            taken = len(kept) + results
            pulled = [draw(st.integers(0, taken - 1)) for _ in range(count)]
            table.append(function([V] * taken, results=pulled))
    return replace(original, functions=tuple(table))


def same(one: Function, other: Function) -> bool:
    """Says whether two functions of three-vectors have equal types."""
    return (len(one.params), len(one.results)) == (len(other.params), len(other.results))


def rename(function_: Function, ids: Callable[[int], int], name: str) -> Function:
    def all_of(numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(ids(number) for number in numbers)

    return Function(
        name,
        tuple(Param(ids(p.id), p.type) for p in function_.params),
        tuple(Constant(ids(c.id), c.value) for c in function_.constants),
        tuple(
            replace(n, inputs=all_of(n.inputs), outputs=all_of(n.outputs)) for n in function_.nodes
        ),
        all_of(function_.results),
        function_.custom_jvp,
        function_.custom_vjp,
    )


def reorder(value: Program, order: list[int]) -> Program:
    """Puts the function ``order[i]`` in place i."""
    places = {old: new for new, old in enumerate(order)}
    moved = [
        replace(
            value.functions[old],
            nodes=tuple(
                replace(n, functions=tuple(places[f] for f in n.functions))
                for n in value.functions[old].nodes
            ),
            custom_jvp=None if (jvp := value.functions[old].custom_jvp) is None else places[jvp],
            custom_vjp=tuple(places[rule] for rule in value.functions[old].custom_vjp or ())
            or None,
        )
        for old in order
    ]
    return replace(value, functions=tuple(moved), entry=places[value.entry])


@examples
@given(programs(), st.randoms())
def test_names_and_numbers_do_not_count(original: Program, random: Any) -> None:
    """Other names and other ids of the same things: the same bytes."""
    numbers = random.sample(range(2**32), 64)
    functions = [
        rename(f, numbers.__getitem__, f"other {i}") for i, f in enumerate(original.functions)
    ]
    other = replace(original, functions=tuple(functions))
    assert other != original
    assert encoded(other) == encoded(original)


@examples
@given(programs(), st.randoms())
def test_the_order_of_the_table_does_not_count(original: Program, random: Any) -> None:
    """Any order of the functions that the rules allow: the same bytes."""
    order: list[int] = []
    while len(order) < len(original.functions):
        free = [
            index
            for index, f in enumerate(original.functions)
            if index not in order and all(u in order for n in f.nodes for u in n.functions)
        ]
        order.append(random.choice(free))
    assert encoded(reorder(original, order)) == encoded(original)


@examples
@given(programs(), st.integers(0, 3), st.booleans())
def test_functions_that_nobody_uses_do_not_count(
    original: Program, copied: int, first: bool
) -> None:
    """A copy of a function, or another one, that the entry never uses: the same bytes."""
    table = original.functions
    more = table[copied] if copied < len(table) else chain("tan", 2, V)
    if first and not any(n.functions for n in more.nodes):
        longer = replace(original, functions=(*table, more))
        longer = reorder(longer, [len(table), *range(len(table))])
    else:
        longer = replace(original, functions=(*table, more))
    assert encoded(longer) == encoded(original)


@examples
@given(programs())
def test_defaults_count_as_if_they_were_written(original: Program) -> None:
    """An attribute left out and its default: the same bytes."""

    def filled(used: Any) -> Any:
        specs = OPS[used.op].attrs
        return replace(
            used, attrs={name: used.attrs.get(name, specs[name].default) for name in specs}
        )

    functions = [replace(f, nodes=tuple(map(filled, f.nodes))) for f in original.functions]
    assert encoded(replace(original, functions=tuple(functions))) == encoded(original)


# --- the bytes hold everything: a reader gets back everything but names -----------------------


@examples
@given(programs())
def test_the_bytes_can_be_read_back(original: Program) -> None:
    """Nothing but names is lost, so two programs share bytes only if they are the same."""
    assert Reader(encoded(original)).program() == normal(original)
