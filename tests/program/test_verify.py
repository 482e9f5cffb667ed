from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradwire.errors import InvalidProgramError, LimitExceededError
from gradwire.ir import Node
from gradwire.opset import OPS
from gradwire.opset.core import REQUIRED, AttrSpec, Kind, OpDef, Signature
from gradwire_server.program.decode import decode_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from programs import chain, doubling, function, nested, node, program, vector
from refusals import BOUNDARIES, GOOD, TIGHT, BadProgram, Boundary
from refusals.rules import BAD_RULES

UNLIMITED = ProgramLimits(
    max_program_bytes=10**12,
    max_program_items=10**12,
    max_functions=10**12,
    max_nodes=10**12,
    max_nesting=10**12,
    max_derivative_order=10**12,
    max_trip_count=10**12,
    max_constant_bytes=10**12,
    max_tensor_bytes=10**12,
    max_matrix_rows=10**12,
    max_window_elements=10**24,
)


@pytest.mark.parametrize("bad", BAD_RULES, ids=lambda bad: bad.name)
def test_a_broken_rule_is_refused(bad: BadProgram) -> None:
    """A program that breaks a rule is refused, with class, reason, field, function and node.

    The bounds are no part of it: the rules hold without them.
    """
    with pytest.raises(bad.error) as caught:
        verify_program(decode_program(bad.data, UNLIMITED), UNLIMITED)
    error = caught.value
    assert type(error) is bad.error
    assert (error.reason, error.field) == (bad.reason, bad.field)
    assert (error.function, error.node) == bad.place
    assert "; got" in error.message


@pytest.mark.parametrize("case", BOUNDARIES, ids=lambda case: case.name)
def test_every_bound_holds_exactly(case: Boundary) -> None:
    """A program at a bound passes all of them; one over it is refused for that bound."""
    verify_program(decode_program(case.at, TIGHT), TIGHT)
    with pytest.raises(LimitExceededError) as caught:
        verify_program(decode_program(case.over, TIGHT), TIGHT)
    allowed = getattr(TIGHT, case.limit)
    assert caught.value.field == case.limit
    assert caught.value.metadata == {
        "limit": case.limit,
        "allowed": str(allowed),
        "got": str(case.got),
    }
    wider = replace(TIGHT, **{case.limit: case.got})
    verify_program(decode_program(case.over, wider), wider)


def test_every_bound_has_a_boundary() -> None:
    """No bound on programs is left untested."""
    assert {case.limit for case in BOUNDARIES} == set(ProgramLimits.__dataclass_fields__)


def test_twelve_levels_of_doubling_are_counted_written_out() -> None:
    """A few hundred bytes that unfold to 12,286 nodes count as that many."""
    wide = replace(ProgramLimits(), max_nodes=12_286)
    assert verify_program(doubling(12), wide).sizes[-1].num_nodes == 3 * 2**12 - 2 == 12_286
    with pytest.raises(LimitExceededError) as caught:
        verify_program(doubling(12), replace(wide, max_nodes=12_285))
    assert caught.value.metadata["got"] == "12286"
    assert (caught.value.function, caught.value.node) == (12, 1)


def test_a_thousand_levels_of_doubling_are_refused_at_once() -> None:
    """The count stops at the first function over the bound, not after 2**1000."""
    with pytest.raises(LimitExceededError) as caught:
        verify_program(doubling(1000))
    assert caught.value.field == "max_nodes"
    assert caught.value.function == 13


def test_functions_that_nobody_uses_are_checked_too() -> None:
    """A bad function is refused, even if the entry never uses it."""
    bad = function([vector(2)], node("add", [0], 1), results=[1])
    with pytest.raises(InvalidProgramError) as caught:
        verify_program(program(bad, *GOOD.functions[:1]))
    assert caught.value.field == "functions[0].nodes[0].inputs"


def test_a_huge_intermediate_of_a_jacobian_is_refused() -> None:
    """Four directions through 2**30 elements are over 2**31, though every type is small."""
    params = [vector(4, dtype="float32"), vector(2**30, dtype="float32")]
    inner = function(params, node("sin", [0], 2), node("cos", [1], 3), results=[2])
    outer = function(params, node("jacobian", [0, 1], 2, 3, functions=[0]), results=[3])
    with pytest.raises(LimitExceededError) as caught:
        verify_program(program(inner, outer))
    assert caught.value.metadata["limit"] == "max_tensor_elements"
    assert caught.value.metadata["got"] == str(2**32)
    assert (caught.value.function, caught.value.node) == (1, 0)


def test_jacobians_of_jacobians_multiply_what_is_alive() -> None:
    """Three nested Jacobians of 100 inputs keep a million times what the function makes."""
    functions = [chain("sin", 1, vector(100))]
    shape: tuple[int, ...] = (100,)
    for level in range(2):
        outer = node("jacobian", [0], 1, 2, functions=[level], mode="forward")
        functions.append(function([vector(100)], outer, results=[2]))
        shape = (*shape, 100)
    verified = verify_program(program(*functions))
    assert verified.entry.signature.results == (vector(*shape),)
    assert verified.sizes[-1].widest == 100**3


def test_orders_add_up_and_calls_do_not_count() -> None:
    """A grad of a call of a hessian of a call of a function is third order, four deep."""
    inner = nested("call", 1, base=3).functions
    one = function([vector()], node("hessian", [0], 1, 2, functions=[1]), results=[2])
    two = function([vector()], node("call", [0], 1, functions=[2]), results=[1])
    three = function([vector()], node("grad", [0], 1, 2, functions=[3]), results=[2])
    size = verify_program(program(*inner, one, two, three)).sizes[-1]
    assert (size.order, size.nesting, size.num_nodes) == (3, 4, 7)


def test_types_are_inferred_through_calls() -> None:
    """The entry's signature, every id's type and every node's call come with the program."""
    typed = verify_program(GOOD)
    assert typed.entry.signature == Signature((vector(3),), (vector(3),))
    assert dict(typed.infos[0].types) == dict.fromkeys(range(4), vector(3))
    call = typed.entry.calls[0]
    assert call.inputs == (vector(3),)
    assert call.functions == (typed.infos[0].signature,)


def test_an_id_may_have_any_number() -> None:
    """Ids are names: they need be neither small nor in order."""
    typed = verify_program(
        program(
            function(
                [vector(2)], node("sin", [0], 2**32 - 1), node("cos", [2**32 - 1], 5), results=[5]
            )
        )
    )
    assert typed.entry.signature.results == (vector(2),)


def test_an_empty_function_and_a_parameter_as_result_are_programs() -> None:
    """The least programs: nothing at all, and the input itself, twice."""
    assert verify_program(program(function([], results=[]))).entry.signature == Signature((), ())
    twice = verify_program(program(function([vector(2)], results=[0, 0]))).entry.signature
    assert twice.results == (vector(2), vector(2))


def test_an_empty_tensor_is_none_too_many() -> None:
    """Zero elements are within every bound."""
    assert verify_program(program(chain("sin", 1, vector(0, 3)))).sizes[-1].widest == 0


@pytest.fixture
def op_with_attributes(monkeypatch: pytest.MonkeyPatch) -> str:
    attrs = {
        "needed": AttrSpec(Kind.INT, "", REQUIRED),
        "word": AttrSpec(Kind.WORD, "", "one", choices=("one", "two")),
        "axes": AttrSpec(Kind.INTS, "", (1, 2)),
    }
    op = OpDef("test.attributes", "", lambda call: [call.inputs[0]], attrs=attrs)
    monkeypatch.setitem(OPS, op.name, op)
    return op.name


def bound(used: Node) -> object:
    typed = verify_program(program(function([vector(2)], used, results=[1])))
    return typed.entry.calls[0].attrs


def test_defaults_are_filled_in(op_with_attributes: str) -> None:
    """Rules and lowerings see every attribute, named or not."""
    assert bound(node(op_with_attributes, [0], 1, needed=3)) == {
        "needed": 3,
        "word": "one",
        "axes": (1, 2),
    }
    assert bound(node(op_with_attributes, [0], 1, needed=3, word="two", axes=())) == {
        "needed": 3,
        "word": "two",
        "axes": (),
    }


@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"needed": True},
        {"needed": 1.0},
        {"needed": "1"},
        {"needed": np.int64(1)},
        {"needed": 1, "word": "three"},
        {"needed": 1, "word": 1},
        {"needed": 1, "axes": (1.0,)},
        {"needed": 1, "axes": (True,)},
        {"needed": 1, "axes": 1},
        {"needed": 1, "Needed": 1},
    ],
    ids=repr,
)
def test_attributes_are_checked(op_with_attributes: str, attrs: dict[str, object]) -> None:
    """Missing, unknown, of another kind or outside the choices: refused, with the node."""
    with pytest.raises(InvalidProgramError, match="`functions") as caught:
        bound(node(op_with_attributes, [0], 1, **attrs))  # type: ignore[arg-type]
    assert (caught.value.function, caught.value.node) == (0, 0)


def test_messages_stay_short() -> None:
    """What a message quotes of a program is cut, or the error itself would be too long."""
    long = "x" * 10_000
    for bad in (node(long, [0], 1), node("sin", [0], 1, **{long: 1})):
        with pytest.raises((InvalidProgramError, NotImplementedError)) as caught:
            bound(bad)
        assert len(str(caught.value)) < 500
