"""Programs at a bound pass, those over it don't; how programs are measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gradwire.errors import LimitExceededError
from gradwire.tensors import MAX_DIM
from gradwire_server.program.decode import decode_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from programs import chain, doubling, function, nested, node, program, unary, vector
from refusals import BOUNDARIES, TIGHT, Boundary


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


def test_no_tensor_has_more_elements_than_an_axis_may() -> None:
    """The bound stands twice, since the supervisor can't import the client's."""
    assert ProgramLimits().max_tensor_elements == MAX_DIM


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


def test_an_empty_tensor_is_none_too_many() -> None:
    """Zero elements are within every bound."""
    assert verify_program(unary("sin", type_=vector(0, 3))).sizes[-1].widest == 0
