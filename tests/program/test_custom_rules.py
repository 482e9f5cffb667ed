"""Rules of functions on the wire: their form, what is refused, and that they end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from canonical_reader import Reader, normal
from gradwire.errors import (
    GradwireError,
    InvalidProgramError,
    LimitExceededError,
    Reason,
    UnsupportedError,
)
from gradwire.ir import Function, Program, encode_program
from gradwire.ir.independence import prove_independent
from gradwire.v1 import function_pb2 as pb
from gradwire_server.program.canonical_form import canonical_bytes
from gradwire_server.program.decode import decode_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from mutations import mutations
from planned import judge
from programs import chain, function, node, program, vector
from refusals.form import FUTURE

V, N = vector(3), vector(dtype="int32")
LIMITS = ProgramLimits()


def call(index: int, params: int = 1) -> Function:
    """The entry: it calls a function of one vector."""
    return function([V] * params, node("call", range(params), 9, functions=[index]), results=[9])


def jvp_program() -> Program:
    """A function whose rule, after it, calls it; n, an integer, is between."""
    f = function([N, V], node("sin", [1], 2), results=[2, 0])
    again = node("call", [0, 1], 3, 4, functions=[0])
    rule = function([N, V, V], again, node("multiply", [3, 2], 5), results=[3, 4, 5])
    last = function([N, V], node("call", [0, 1], 2, 3, functions=[0]), results=[2])
    return program(replace(f, custom_jvp=1), rule, last)


def vjp_program() -> Program:
    """The same for reverse mode; the forward rule keeps n and the value."""
    f = function([N, V], node("sin", [1], 2), results=[2, 0])
    forward = function([N, V], node("call", [0, 1], 2, 3, functions=[0]), results=[2, 3, 0, 2])
    backward = function([N, V, V], node("multiply", [1, 2], 3), results=[3])
    last = function([N, V], node("call", [0, 1], 2, 3, functions=[0]), results=[2])
    return program(replace(f, custom_vjp=(1, 2)), forward, backward, last)


def differentiated(original: Program, operator: str, **attrs: Any) -> Program:
    """A derivative of the program's entry with respect to its last parameter."""
    extras = [1] if operator in ("jvp", "vjp") else []
    made = node(operator, [0, 1, *extras], 2, 3, functions=[original.entry], wrt=(1,), **attrs)
    return program(*original.functions, function([N, V], made, results=[3]))


@pytest.mark.parametrize("original", [jvp_program(), vjp_program()], ids=["jvp", "vjp"])
def test_rules_travel_and_are_part_of_the_identity(original: Program) -> None:
    """They come back from bytes, and the identity can be read back with them."""
    assert decode_program(encode_program(original), LIMITS) == original
    typed = verify_program(original)
    assert Reader(canonical_bytes(typed)).program() == normal(original)
    plain = replace(original.functions[0], custom_jvp=None, custom_vjp=None)
    without = replace(original, functions=(plain, *original.functions[1:]))
    assert canonical_bytes(verify_program(without)) != canonical_bytes(typed)


def test_rules_that_use_each_other_have_an_identity() -> None:
    """A cycle through rules ends, and the order of the table doesn't show."""
    f, g = chain("sin", 1, V), chain("cos", 1, V)

    def rule(own: int, other: int) -> Function:
        nodes = [
            node("call", [0], 2, functions=[own]),
            node("call", [0], 3, functions=[other]),
            node("multiply", [3, 1], 4),
        ]
        return function([V, V], *nodes, results=[2, 4])

    one = program(
        replace(f, custom_jvp=2), replace(g, custom_jvp=3), rule(0, 1), rule(1, 0), call(0)
    )
    two = program(
        replace(g, custom_jvp=3), replace(f, custom_jvp=2), rule(1, 0), rule(0, 1), call(1)
    )
    three = replace(one, functions=(*one.functions[:4], call(1)))
    assert canonical_bytes(verify_program(one)) == canonical_bytes(verify_program(two))
    assert canonical_bytes(verify_program(one)) != canonical_bytes(verify_program(three))


@pytest.mark.parametrize("field", ["custom_jvp", "custom_vjp"])
def test_future_fields_in_rules_are_refused(field: str) -> None:
    """As everywhere in a program."""
    message = pb.Program.FromString(
        encode_program(jvp_program() if field == "custom_jvp" else vjp_program())
    )
    getattr(message.functions[0], field).MergeFromString(FUTURE)
    with pytest.raises(InvalidProgramError) as caught:
        decode_program(message.SerializeToString(), LIMITS)
    assert caught.value.reason == Reason.ERROR_REASON_MALFORMED_PROGRAM
    assert caught.value.field == f"functions[0].{field}.127"
    assert caught.value.function == 0


def test_an_absent_index_is_function_0() -> None:
    """A rule that is set but says nothing names the first function, as proto3 has it."""
    message = pb.Program.FromString(encode_program(program(chain("sin", 1, V))))
    message.functions[0].custom_jvp.SetInParent()
    assert decode_program(message.SerializeToString(), LIMITS).functions[0].custom_jvp == 0


def test_damaged_programs_with_rules_end_in_an_error_or_are_programs() -> None:
    """500 ways to damage each: a refusal or another program, never anything else."""
    for original in (jvp_program(), vjp_program()):
        for data in mutations(encode_program(original), 500, seed=2):
            with suppress(GradwireError):
                canonical_bytes(verify_program(decode_program(data, LIMITS), LIMITS))


Change = Callable[[list[Function]], None]


def put(index: int, **fields: Any) -> Change:
    def change(table: list[Function]) -> None:
        table[index] = replace(table[index], **fields)

    return change


BAD: list[tuple[str, Program, Change, str, str]] = [
    (
        "no_such_rule",
        jvp_program(),
        put(0, custom_jvp=3),
        "custom_jvp.rule",
        "one of the 3 functions",
    ),
    ("negative", jvp_program(), put(0, custom_jvp=-1), "custom_jvp.rule", "one of the 3"),
    ("itself", jvp_program(), put(0, custom_jvp=0), "custom_jvp.rule", "must take"),
    ("another", jvp_program(), put(0, custom_jvp=2), "custom_jvp.rule", "must take"),
    ("no_tangent", jvp_program(), put(1, results=(3, 4)), "custom_jvp.rule", "must return"),
    (
        "integer_tangent",
        jvp_program(),
        put(1, results=(3, 4, 5, 0)),
        "custom_jvp.rule",
        "must return",
    ),
    ("no_forward", vjp_program(), put(0, custom_vjp=(9, 2)), "custom_vjp.forward", "one of the 4"),
    (
        "no_backward",
        vjp_program(),
        put(0, custom_vjp=(1, 9)),
        "custom_vjp.backward",
        "one of the 4",
    ),
    ("forward_takes", vjp_program(), put(0, custom_vjp=(2, 2)), "custom_vjp.forward", "must take"),
    (
        "forward_returns",
        vjp_program(),
        put(1, results=(0, 2)),
        "custom_vjp.forward",
        "must return first",
    ),
    ("backward_takes", vjp_program(), put(1, results=(2, 3)), "custom_vjp.backward", "must take"),
    ("backward_returns", vjp_program(), put(2, results=(0,)), "custom_vjp.backward", "must return"),
    ("both", vjp_program(), put(0, custom_jvp=1), "custom_vjp", "where custom_jvp is set"),
]


@pytest.mark.parametrize(
    ("name", "original", "change", "field", "match"),
    BAD,
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_bad_rules(name: str, original: Program, change: Change, field: str, match: str) -> None:
    """The error names the function and the field; unused rules are checked too."""
    table = list(original.functions)
    change(table)
    for entry in (len(table) - 1, 1):
        mapped = (False,) * len(table[entry].params)
        with pytest.raises(InvalidProgramError, match=match) as caught:
            judge(replace(original, functions=tuple(table), entry=entry, mapped=mapped))
        assert caught.value.field == f"functions[0].{field}"
        assert (caught.value.function, caught.value.node) == (0, None)
        assert "; got" in caught.value.message


# --- rules end -----------------------------------------------------------------------


def with_rule(*nodes: Any, result: int, more: int = 0) -> list[Function]:
    """A sine whose rule has these nodes; its tangent is the result."""
    rule = function([V, V], node("sin", [0], 2), *nodes, results=[2, result])
    return [replace(chain("sin", 1, V), custom_jvp=1), rule]


def test_a_rule_that_needs_its_own_derivative_is_refused() -> None:
    """Its derivative at any order would be made of itself for ever."""
    table = with_rule(node("jvp", [0, 1], 3, 4, functions=[0]), result=4)
    judge(program(*table, call(0)))  # it isn't differentiated
    derivative = function([V], node("jvp", [0, 0], 1, 2, functions=[0]), results=[2])
    with pytest.raises(
        InvalidProgramError, match="not need the derivative that it is for"
    ) as caught:
        judge(program(*table, derivative))
    assert caught.value.field == "functions[0].custom_jvp"
    assert caught.value.function == 0


def test_a_rule_that_needs_a_higher_derivative_is_refused() -> None:
    """Its order would grow for ever."""
    table = with_rule(node("call", [0], 3, functions=[1]), result=3)
    inner = function([V], node("jvp", [0, 0], 1, 2, functions=[0]), results=[2])
    second = node("jvp", [0, 1], 3, 4, functions=[1])
    rule = function([V, V], node("sin", [0], 2), second, results=[2, 4])
    table = [replace(chain("sin", 1, V), custom_jvp=2), inner, rule]
    derivative = function([V], node("jvp", [0, 0], 1, 2, functions=[0]), results=[2])
    with pytest.raises(LimitExceededError) as caught:
        judge(program(*table, derivative))
    assert caught.value.field == "max_derivative_order"


def test_nodes_of_rules_count_by_order() -> None:
    """A rule that calls its function ten times is 10ᵏ nodes at order k, and no more at order 0."""
    calls = [node("call", [0], i + 3, functions=[0]) for i in range(10)]
    table = with_rule(*calls, result=12)
    for order, taken in ((0, True), (1, True), (2, True), (3, True), (4, False)):
        functions = [*table, call(0)]
        for _ in range(order):
            made = node("jvp", [0, 0], 1, 2, functions=[len(functions) - 1])
            functions.append(function([V], made, results=[2]))
        limits = ProgramLimits(max_nodes=3000)
        if taken:
            judge(program(*functions), limits)
        else:
            with pytest.raises(LimitExceededError) as caught:
                judge(program(*functions), limits)
            assert caught.value.field == "max_nodes"


def test_a_long_chain_of_rules_is_refused_for_its_nesting() -> None:
    """A thousand functions, the rule of each of which differentiates the next."""
    count = 1000
    table = [chain("sin", 1, V) for _ in range(count)]
    for index in range(count - 1):
        nested = node("jvp", [0, 1], 3, 4, functions=[index + 1])
        table.append(function([V, V], node("sin", [0], 2), nested, results=[2, 4]))
        table[index] = replace(table[index], custom_jvp=len(table) - 1)
    derivative = function([V], node("jvp", [0, 0], 1, 2, functions=[0]), results=[2])
    with pytest.raises(LimitExceededError) as caught:
        judge(program(*table, derivative))
    assert caught.value.field == "max_nesting"


# --- what differentiates them --------------------------------------------------------


def test_vjp_rules_refuse_forward_mode() -> None:
    """The error names the function and says what to use; reverse mode takes them."""
    judge(differentiated(vjp_program(), "vjp"))
    judge(differentiated(vjp_program(), "jacobian"))
    for bad in (
        differentiated(vjp_program(), "jvp"),
        differentiated(vjp_program(), "jacobian", mode="forward"),
    ):
        with pytest.raises(UnsupportedError, match="use custom_jvp") as caught:
            judge(bad)
        assert caught.value.field == "functions[0].custom_vjp"
        assert caught.value.function == 0


def test_what_vjp_rules_do_is_differentiated_at_the_second_order() -> None:
    """Then the forward and the backward rule need derivatives themselves."""
    original = vjp_program()
    made = {
        1: ((node("sin", [1], 2), node("nextafter", [2, 2], 7)), (2, 0, 0, 7)),
        2: ((node("nextafter", [1, 1], 7), node("multiply", [7, 2], 8)), (8,)),
    }
    for rule, (nodes, results) in made.items():
        table = list(original.functions)
        table[rule] = replace(table[rule], nodes=nodes, results=results)
        first = differentiated(replace(original, functions=tuple(table)), "vjp")
        judge(first)
        with pytest.raises(UnsupportedError, match="nextafter") as caught:
            judge(differentiated(first, "vjp"))
        assert caught.value.function == rule


def test_auto_is_reverse_with_vjp_rules() -> None:
    """That is always possible; forward over reverse isn't if a rule uses its own function."""
    for original in (vjp_program(), differentiated(vjp_program(), "vjp")):
        (choice,) = judge(differentiated(original, "jacobian")).choices
        assert (choice.name, choice.value) == ("mode", "reverse")


def test_jvp_rules_take_both_modes() -> None:
    """Whatever the nodes of the function are."""
    original = jvp_program()
    first = replace(original.functions[0], nodes=(node("nextafter", [1, 1], 2),))
    ruled = replace(original, functions=(first, *original.functions[1:]))
    plain = replace(ruled, functions=(replace(first, custom_jvp=None), *ruled.functions[1:]))
    for operator in ("jvp", "vjp", "jacobian"):
        judge(differentiated(ruled, operator))
        with pytest.raises(UnsupportedError, match="nextafter"):
            judge(differentiated(plain, operator))


def test_a_rule_is_differentiated_at_the_second_order() -> None:
    """Then what it is made of needs derivatives; at the first order it doesn't."""
    table = with_rule(node("nextafter", [0, 0], 3), node("multiply", [3, 1], 4), result=4)
    one = function([V], node("jvp", [0, 0], 1, 2, functions=[0]), results=[2])
    two = function([V], node("jvp", [0, 0], 1, 2, functions=[2]), results=[2])
    judge(program(*table, one))
    with pytest.raises(UnsupportedError, match="nextafter") as caught:
        judge(program(*table, one, two))
    assert (caught.value.function, caught.value.node) == (1, 1)


def test_a_rule_must_be_transposed_in_reverse() -> None:
    """An op without derivative on a tangent is refused in reverse mode alone."""
    table = with_rule(node("nextafter", [1, 1], 3), result=3)
    forward = function([V], node("jvp", [0, 0], 1, 2, functions=[0]), results=[2])
    reverse = function([V], node("vjp", [0, 0], 1, 2, functions=[0]), results=[2])
    judge(program(*table, forward))
    with pytest.raises(UnsupportedError, match="nextafter"):
        judge(program(*table, reverse))


def test_a_rule_in_a_loop_that_would_be_lost_is_refused() -> None:
    """There JAX would silently differentiate the function's nodes."""
    table = with_rule(node("multiply", [0, 1], 3), result=3)
    loop = function([V], node("scan", [0], 1, functions=[0], num_carry=1, length=2), results=[1])
    for inner, taken in (("jvp", True), ("vjp", False)):
        one = function([V], node(inner, [0, 0], 1, 2, functions=[2]), results=[2])
        two = function([V], node("vjp", [0, 0], 1, 2, functions=[3]), results=[2])
        judge(program(*table, loop, one))
        if taken:
            judge(program(*table, loop, one, two))
        else:
            with pytest.raises(UnsupportedError, match="must not be in a loop") as caught:
                judge(program(*table, loop, one, two))
            assert caught.value.field == "functions[0].custom_jvp"


def test_a_rule_proves_nothing_of_samples() -> None:
    """The nodes keep samples apart, but derivatives are the rule's."""
    typed = verify_program(program(*with_rule(node("multiply", [0, 1], 3), result=3), call(0)))
    for index in (0, 2):
        coupling = prove_independent(typed.program.functions, typed.infos, index, [0])
        assert coupling is not None
        assert "the custom rule of `functions[0]`" in str(coupling)
