"""What control ops refuse, and what is known of functions that use them."""

from __future__ import annotations

from typing import Any

import pytest

from gradwire.errors import InvalidProgramError, LimitExceededError, Reason
from gradwire.ir import Node
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from programs import COUNT, SCALAR, VECTOR, chain, function, node, program, vector
from refusals.loops import swept

S, V, M, INT64 = SCALAR, VECTOR, vector(2, 3), COUNT
BOOL, INT32 = vector(dtype="bool"), vector(dtype="int32")

TABLE = (
    chain("sin", 1, S),  # 0: scalar to scalar
    chain("sin", 1, V),  # 1: vector to vector
    function([S], node("isfinite", [0], 1), results=[1]),  # 2: a test
    function([S, S], node("add", [0, 1], 2), results=[2]),  # 3: of two scalars
    function([INT64, S], results=[1]),  # 4: with an index
    function([S], node("sin", [0], 1), results=[1, 1]),  # 5: two results
    function([V], node("sum", [0], 1, axis=(0,)), results=[1]),  # 6: vector to scalar
    function([INT64], results=[0]),  # 7: of an integer
)


def use(params: list[Any], op: str, functions: tuple[int, ...], **attrs: Any) -> Node:
    return node(op, range(len(params)), 9, functions=functions, **attrs)


GOOD: dict[str, tuple[list[Any], tuple[int, ...], dict[str, Any]]] = {
    "cond": ([BOOL, S], (0, 0), {}),
    "switch": ([INT32, S], (0, 0, 0), {}),
    "while_loop": ([S], (2, 0), {}),
    "fori_loop": ([S], (4,), {"lower": 0, "upper": 3}),
    "scan": ([S, V], (3,), {"num_carry": 1, "length": 3}),
    "map": ([M], (1,), {}),
    "associative_scan": ([V], (3,), {}),
    "linear_solve": ([S], (0, 0, 0), {}),
    "fixed_point": ([S], (0,), {"tolerance": 0.0, "max_iterations": 1}),
    "root": ([V], (1,), {"tolerance": 1.0, "max_iterations": 1}),
}


def check(op: str, params: list[Any], functions: tuple[int, ...], attrs: dict[str, Any]) -> None:
    made = use(params, op, functions, **attrs)
    verify_program(program(*TABLE, function(params, made, results=[9])))


@pytest.mark.parametrize("name", GOOD)
def test_what_the_refusals_start_from_is_taken(name: str) -> None:
    """Each op is in the table, and these uses of it are sound."""
    check(name, *GOOD[name])


BAD: list[tuple[str, dict[str, Any], str]] = [
    *((name, {"captures": (1,) * 9}, "`captures` must hold a number") for name in GOOD),
    *((name, {"captures": (-1,) * len(GOOD[name][1])}, "`captures` must") for name in GOOD),
    *((name, {"captures": (7,) * len(GOOD[name][1])}, "`captures` must") for name in GOOD),
    ("cond", {"params": [S, S]}, "the predicate must be the first operand"),
    ("cond", {"params": []}, "the predicate must be"),
    ("cond", {"functions": (0, 5)}, r"function 1 of the node must return \(float64\[\]\)"),
    ("cond", {"functions": (0, 1)}, "function 1 of the node must take"),
    ("cond", {"functions": (0,)}, "`functions` must hold 2 indices; got 1"),
    ("switch", {"params": [INT64, S]}, "the index must be the first operand"),
    ("switch", {"functions": ()}, "`functions` must hold 1 to 64 indices; got 0"),
    ("switch", {"functions": (0,) * 65}, "`functions` must hold 1 to 64 indices; got 65"),
    ("while_loop", {"functions": (0, 0)}, r"function 0 of the node must return \(bool\[\]\)"),
    ("while_loop", {"functions": (2, 5)}, "function 1 of the node must return"),
    ("while_loop", {"max_iterations": -1}, "`max_iterations` must be 0 or more; got -1"),
    ("fori_loop", {"functions": (0,)}, r"must take \(int64\[\], float64\[\]\)"),
    ("scan", {"num_carry": 3}, "`num_carry` must be from 0 to 2; got 3"),
    ("scan", {"num_carry": -1}, "`num_carry` must be"),
    ("scan", {"length": 4}, "sequence 0 must have `length` on axis 0"),
    ("scan", {"length": -1}, "`length` must be 0 or more; got -1"),
    ("scan", {"params": [S, S]}, "sequence 0 must have"),
    ("scan", {"functions": (1,)}, "must take"),
    ("map", {"params": []}, "there must be an operand to map over"),
    ("map", {"params": [S]}, "mapped operands must have one length"),
    ("map", {"params": [V]}, "must take"),
    ("map", {"batch_size": -1}, "`batch_size` must be 0 or more"),
    ("associative_scan", {"params": []}, "there must be an operand to scan"),
    ("associative_scan", {"params": [S]}, "must have one length"),
    ("associative_scan", {"functions": (0,)}, "must take"),
    ("linear_solve", {"params": []}, "there must be a right side"),
    ("linear_solve", {"functions": (0, 1)}, "function 1 of the node must take"),
    ("linear_solve", {"functions": (0, 0, 0, 0)}, "`functions` must hold 2 to 3 indices; got 4"),
    ("linear_solve", {"functions": (7, 7), "params": [INT64]}, "must be inexact"),
    ("fixed_point", {"max_iterations": 0}, "`max_iterations` must be 1 or more; got 0"),
    ("fixed_point", {"tolerance": -1.0}, "`tolerance` must be finite and 0 or more"),
    ("fixed_point", {"tolerance": float("nan")}, "`tolerance` must be finite"),
    ("fixed_point", {"params": []}, "must take"),
    ("root", {"functions": (6,)}, "must return"),
    ("root", {"functions": (7,), "params": [INT64]}, "the first guess must be floating32"),
]


@pytest.mark.parametrize(("name", "change", "match"), BAD)
def test_refusals(name: str, change: dict[str, Any], match: str) -> None:
    """Each names the node, the rule and what it got."""
    params, functions, attrs = GOOD[name]
    params = change.get("params", params)
    functions = change.get("functions", functions)
    changed = {k: v for k, v in change.items() if k not in ("params", "functions")}
    with pytest.raises(InvalidProgramError, match=match) as caught:
        check(name, params, functions, {**attrs, **changed})
    error = caught.value
    assert error.reason == Reason.ERROR_REASON_INVALID_PROGRAM
    assert error.field.startswith(f"functions[{len(TABLE)}].nodes[0]")
    assert (error.function, error.node) == (len(TABLE), 0)
    assert "; got" in error.message


# --- bounds --------------------------------------------------------------------------


def test_a_forward_sweep_and_a_checkpoint_keep_no_stack() -> None:
    """What is bounded is what a reverse sweep keeps: operands alone where it computes again."""
    limits = ProgramLimits(max_tensor_elements=10**6)
    verify_program(swept(10_000, operator="jvp"), limits)
    verify_program(swept(1000), limits)
    for checkpoint in (False, True):
        with pytest.raises(LimitExceededError) as caught:
            verify_program(swept(1001, checkpoint=checkpoint), limits)
        assert caught.value.metadata["got"] == "1001000"


def test_trips_do_not_count_as_nodes() -> None:
    """A million steps of one node are a node and its loop."""
    loop = node("fori_loop", [0], 1, functions=[0], lower=0, upper=1_000_000)
    size = verify_program(program(TABLE[4], function([S], loop, results=[1]))).sizes[-1]
    assert size.num_nodes == 1
