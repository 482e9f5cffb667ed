"""Which direction is chosen where a program leaves it open."""

from __future__ import annotations

from typing import Any

import pytest

from gradwire.opset import OPS
from gradwire.opset.core import Call, Signature
from gradwire.opset.differentiation import FORWARD, REVERSE
from gradwire.tensors import TensorType
from gradwire_server.planner.modes import CHOOSERS
from programs import vector

OPEN: frozenset[str] = frozenset()
SEED = vector(dtype="uint32")


def chosen(
    name: str,
    params: list[TensorType],
    results: list[TensorType],
    *extras: TensorType,
    closed: frozenset[str] = OPEN,
    **attrs: Any,
) -> dict[str, str]:
    defaults = {key: spec.default for key, spec in OPS[name].attrs.items()}
    signature = Signature(tuple(params), tuple(results))
    call = Call((*params, *extras), {**defaults, **attrs}, (signature,))
    return dict(CHOOSERS[name](call, closed))


@pytest.mark.parametrize(
    ("inputs", "outputs", "mode"),
    [(2, 3, FORWARD), (3, 3, FORWARD), (3, 2, REVERSE), (1, 1, FORWARD), (0, 0, FORWARD)],
)
def test_the_direction_with_fewer_sweeps_is_taken(inputs: int, outputs: int, mode: str) -> None:
    """Forward if there are no more inputs than outputs, counted over all leaves and results."""
    assert chosen("jacobian", [vector(inputs)], [vector(outputs)]) == {"mode": mode}
    several = [vector(inputs), vector(1), vector(9)], [vector(outputs, 1), vector()]
    assert chosen("jacobian", *several, wrt=(0, 1)) == {"mode": mode}
    assert chosen("hessian", [vector(inputs)], [vector(outputs)]) == {"inner_mode": mode}


def test_what_the_caller_has_settled_stays() -> None:
    """Nothing is chosen for an attribute that the program sets."""
    wide = [vector(2)], [vector(3)]
    assert chosen("jacobian", *wide, mode=REVERSE) == {}
    assert chosen("hessian", *wide, inner_mode=REVERSE) == {}
    batch = [vector(100, 3), vector(150)], [vector(100, 2)]
    both = {"mapped": (1, 0), "wrt": (0, 1)}
    assert chosen("batched_jacobian", *batch, mode=FORWARD, **both) == {}
    assert chosen("batched_jacobian", *batch, parameter_mode=REVERSE, **both) == {"mode": REVERSE}


def test_complex_modes() -> None:
    """A real function of complex numbers goes in reverse; a complex value counts twice."""
    mode = {size: chosen("jacobian", [vector(size)], [vector(2, dtype="complex128")])
            for size in (4, 5)}  # fmt: skip
    assert mode == {4: {"mode": FORWARD}, 5: {"mode": REVERSE}}
    real_of_complex = [vector(2, dtype="complex128")], [vector(5)]
    assert chosen("jacobian", *real_of_complex) == {"mode": REVERSE}


def test_modes_of_batches() -> None:
    """Blocks count the elements of one sample; a parameter's reverse sweep is one row of B·m."""
    batch = [vector(100, 3), vector(150)], [vector(100, 2)]
    both = chosen("batched_jacobian", *batch, mapped=(1, 0), wrt=(0, 1))
    assert both == {"mode": REVERSE, "parameter_mode": FORWARD}
    alone = chosen("batched_jacobian", *batch, mapped=(1, 0), wrt=(1,))
    assert alone == {"parameter_mode": FORWARD}


@pytest.mark.parametrize(("closed", "left"), [(FORWARD, REVERSE), (REVERSE, FORWARD)])
@pytest.mark.parametrize("size", [2, 4])
def test_a_closed_direction_is_not_taken(closed: str, left: str, size: int) -> None:
    """Even where it would take fewer sweeps."""
    types = [vector(size)], [vector(3)]
    assert chosen("jacobian", *types, closed=frozenset({closed})) == {"mode": left}
    assert chosen("hessian", *types, closed=frozenset({closed})) == {"inner_mode": left}
    batch = [vector(5, size)], [vector(5, 3)]
    assert chosen("batched_jacobian", *batch, mapped=(1,), closed=frozenset({closed})) == {
        "mode": left
    }


def test_with_both_directions_closed_forward_is_taken() -> None:
    """If it is offered: the check of derivatives then says what prevents it."""
    both = frozenset({FORWARD, REVERSE})
    assert chosen("jacobian", [vector(9)], [vector(2)], closed=both) == {"mode": FORWARD}
    of_complex = [vector(2, dtype="complex128")], [vector(5)]
    assert chosen("jacobian", *of_complex, closed=both) == {"mode": REVERSE}


@pytest.mark.parametrize("name", ["trace_estimate", "diagonal_estimate"])
def test_an_estimate_with_a_product_for_each_input_is_exact(name: str) -> None:
    """Unit vectors cost as much as random ones then; given probes are always used."""
    square = [vector(3)], [vector(3)]
    for samples, method in ((2, "hutchinson"), (3, "exact"), (9, "exact")):
        options = {"operator": "jacobian", "num_samples": samples}
        assert chosen(name, *square, SEED, **options) == {"method": method}
    given = {"operator": "jacobian", "num_samples": 9, "probes": True}
    assert chosen(name, *square, vector(9, 3), **given) == {"method": "hutchinson"}
