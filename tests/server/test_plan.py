from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from gradwire.ir import Program
from gradwire_server.planner.choices import Choice
from gradwire_server.serving.plan import executable_key, join_parts
from planned import plan_of
from programs import function, node, program, vector


def _scaled(scale: float, name: str = "f", dtype: str = "float64") -> Program:
    body = function(
        [vector(3, dtype=dtype), vector(3, dtype=dtype)],
        node("multiply", [0, 2], 3),
        node("add", [3, 1], 4),
        results=[4],
        constants=[np.array(scale, dtype)],
        name=name,
    )
    return program(body)


def _key(source: Program, precision: str = "highest", environment: str = "here") -> bytes:
    return plan_of(source, precision, environment).key


BASE = _scaled(0.0)


@pytest.mark.parametrize(
    "key",
    [
        _key(_scaled(-0.0)),
        _key(_scaled(5e-324)),
        _key(_scaled(0.0, dtype="float32")),
        _key(replace(BASE, mapped=(True, False))),
        _key(replace(BASE, mapped=(False, True))),
        _key(BASE, "high"),
        _key(BASE, "fast"),
        _key(BASE, environment="there"),
    ],
    ids=["minus-zero", "tiny", "dtype", "mapped", "mapped-2", "high", "fast", "environment"],
)
def test_what_can_change_a_result_changes_the_key(key: bytes) -> None:
    """A plan that is taken for another is a wrong number."""
    assert key != _key(BASE)


def test_names_are_no_part_of_a_plan() -> None:
    """Two programs that differ in names alone share a plan."""
    assert _key(_scaled(0.0, name="other")) == _key(BASE)


def test_parts_can_not_be_shifted() -> None:
    """Where one part of a key ends and the next begins is part of it."""
    lists = [[b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""], [b"", b"abc"], []]
    assert len({join_parts(parts) for parts in lists}) == len(lists)


def test_the_id_is_a_hash_of_the_key() -> None:
    """So that it is the same after a restart."""
    plan = plan_of(BASE)
    assert plan.id == hashlib.sha256(plan.key).hexdigest()[:32]


def test_a_plan_knows_its_types() -> None:
    """Of one sample, if it is mapped."""
    plan = plan_of(replace(BASE, mapped=(True, False)))
    assert (plan.inputs, plan.outputs) == ((vector(3), vector(3)), (vector(3),))
    assert (plan.mapped, plan.is_mapped, plan.planned.widest_bytes) == ((True, False), True, 24)


def _operated(*ops: str, **attrs: str) -> Program:
    inner = function([vector(3)], node("matmul", [0, 0], 1), results=[1])
    nodes = [
        node(op, [0, *extra], *outputs, functions=[0], **attrs)
        for number, op in enumerate(ops)
        for extra, outputs in [_shape_of(op, 10 * (number + 1))]
    ]
    return program(inner, function([vector(3)], *nodes, results=[nodes[-1].outputs[-1]]))


def _shape_of(op: str, first: int) -> tuple[list[int], list[int]]:
    return ([0], [first, first + 1]) if op == "jvp" else ([], [first, first + 1])


def test_choices_belong_to_the_executable() -> None:
    """The plan keeps its id under another planner, and its executables don't."""
    plan = plan_of(_operated("jacobian"))
    assert plan.choices == (Choice(1, 0, "mode", "reverse"),)
    forward = (Choice(1, 0, "mode", "forward"),)
    other = replace(plan, planned=replace(plan.planned, choices=forward))
    assert len({executable_key(plan, 8), executable_key(other, 8), executable_key(plan, 16)}) == 3


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (BASE, "function"),
        (_operated("jacobian"), "jacobian"),
        (_operated("jacobian", "jacobian"), "jacobian"),
        (_operated("jacobian", "jvp"), "several"),
    ],
)
def test_the_operator_is_named(source: Program, name: str) -> None:
    """By a name from a small set, which can be the label of a metric."""
    assert plan_of(source).planned.operator == name
