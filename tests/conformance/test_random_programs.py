"""Random programs on JAX against an interpreter in NumPy and against finite differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from conformance.array_functions import APPLY
from conformance.harness import finite_differences
from conformance.interpreter import OPERATORS as INTERPRETED
from conformance.interpreter import Interpreter
from conformance.random_programs import Case, random_programs
from gradwire.errors import GradwireError
from gradwire.ir import Program, TypedProgram, encode_program
from gradwire.opset import OPS
from gradwire.tensors import Array, type_of
from gradwire_server.compiler.derivatives import OPERATORS
from gradwire_server.compiler.lowering import LOWERINGS, lower_function
from gradwire_server.compiler.rewriting import rewrite_program
from gradwire_server.program.canonical_form import canonical_bytes
from gradwire_server.program.decode import decode_program
from gradwire_server.program.limits import ProgramLimits
from haste import UNOPTIMISED
from planned import settle

ALL = {**LOWERINGS, **OPERATORS}
CONTROL = {"cond", "fori_loop", "scan", "while_loop", "map"} <= OPS.keys() & ALL.keys()

NEAR = 1e-7
"""A kink at this distance may be on another side for JAX, whose rounding is another."""


@dataclass(frozen=True)
class Reference:
    """What a program makes of a point, by the interpreter.

    Attributes:
        results: Its results.
        products: Their derivatives along a tangent.
        decisions: Which smooth piece the point lies on.
        margin: How far it is from the others.
        constants: What no derivative sees.
    """

    results: list[Array]
    products: list[Array]
    decisions: list[bytes]
    margin: float
    constants: list[Any]


def refer(program: Program, point: Sequence[Array], tangents: Sequence[Array]) -> Reference:
    interpreter = Interpreter(program)
    results, products = interpreter.jvp(point, tangents)
    return Reference(
        [np.asarray(x) for x in results],
        [np.asarray(x) for x in products],
        interpreter.decisions,
        interpreter.margin,
        interpreter.constants,
    )


def difference(
    program: Program, point: Sequence[Array], tangents: Sequence[Array], at: Reference
) -> tuple[list[Array], float] | None:
    """Returns derivatives by finite differences, and the step they took.

    None if there is no step at which all points lie on one smooth piece.
    """
    values = Interpreter(program, at.constants)
    values(*point)
    for power in (8, 10, 12, 14):
        smooth = True

        def shifted(t: float) -> list[Array]:
            nonlocal smooth
            run = Interpreter(program, at.constants)
            results = run(*(x + t * v for x, v in zip(point, tangents, strict=True)))
            smooth = smooth and run.decisions == values.decisions
            return [np.asarray(x) for x in results]

        step = 2.0**-power
        first, _ = finite_differences(shifted, step)
        if smooth:
            return first, step
    return None


def check_round_trip(program: Program, typed: TypedProgram) -> None:
    """Asserts that the program's bytes give the same program again."""
    data = encode_program(program)
    again = decode_program(data, ProgramLimits())
    assert encode_program(again) == data
    assert canonical_bytes(settle(again)) == canonical_bytes(typed)


def scale_of(arrays: Sequence[Array]) -> float:
    return max([1.0, *(float(np.abs(x).max(initial=0)) for x in arrays)])


def agree(got: Sequence[Any], want: Sequence[Any], tolerance: float, what: str) -> None:
    for place, (ours, theirs) in enumerate(zip(got, want, strict=True)):
        np.testing.assert_allclose(
            np.asarray(ours), theirs, rtol=0, atol=tolerance, err_msg=f"{what}, result {place}"
        )


def examine(case: Case, tally: Counter[str], options: Mapping[str, Any]) -> None:
    """Compares a program in every way; counts what became of it."""
    tally["tried"] += 1
    program = case.program
    try:
        typed = settle(program)
    except GradwireError:
        tally["refused"] += 1
        return
    check_round_trip(program, typed)
    tally.update(f"op {node.op}" for f in program.functions for node in f.nodes)

    rng = np.random.default_rng(case.seed + 1)
    point = case.point()
    tangents = [rng.standard_normal(x.shape) for x in point]
    at = refer(program, point, tangents)
    wanted = typed.entry.signature.results
    assert tuple(type_of(x) for x in at.results) == wanted, "the interpreter's types"
    cotangents = [rng.standard_normal(x.shape) for x in at.results]

    # How much rounding matters: what a change of a few units in the last place does.
    nudged = [x * (1 + 1e-14 * rng.standard_normal(x.shape)) for x in point]
    close_by = refer(program, nudged, tangents)
    noise = max(
        float(np.abs(a - b).max(initial=0))
        for a, b in zip(at.results + at.products, close_by.results + close_by.products, strict=True)
    )
    values_scale, scale = scale_of(at.results), scale_of(at.products)
    tolerance = 100 * noise
    if at.margin < NEAR or not tolerance < 1e-6 * values_scale:
        tally["ill-conditioned"] += 1
        return

    f = lower_function(rewrite_program(typed), program.entry, ALL)
    compiled = jax.jit(both_modes(f), compiler_options=options)
    values, products, pulled = compiled(point, tangents, cotangents)
    agree(values, at.results, 1e-10 * values_scale + tolerance, "value")
    agree(products, at.products, 1e-9 * scale + tolerance, "jvp")
    transposed = [sum(map(np.vdot, cotangents, at.products))]
    size = sum(x.size for x in point) ** 0.5
    agree(
        [sum(map(np.vdot, tangents, pulled))],
        transposed,
        100 * (1e-9 * scale + tolerance) * size,
        "transpose",
    )
    differences = difference(program, point, tangents, at)
    if differences is None:
        tally["no smooth step"] += 1
        return
    agree(products, differences[0], 1e-5 * scale + 100 * tolerance / differences[1], "differences")
    tally["compared"] += 1


def both_modes(f: Callable[..., list[Any]]) -> Callable[..., Any]:
    def run(point: list[Any], tangents: list[Any], cotangents: list[Any]) -> Any:
        values, products = jax.jvp(f, point, tangents)
        _, pull_back = jax.vjp(f, *point)
        return values, products, pull_back(cotangents)

    return run


def explore(count: int, most: int, **options: Any) -> Counter[str]:
    """Examines so many random programs; returns what became of them."""
    tally: Counter[str] = Counter()

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(random_programs(most, control=CONTROL))
    def each(case: Case) -> None:
        examine(case, tally, options)

    each()
    print({name: n for name, n in tally.items() if not name.startswith("op ")})
    return tally


def check_tally(tally: Counter[str], count: int) -> None:
    assert tally["tried"] >= count
    assert tally["refused"] <= 0.02 * count, "programs that are built by the table are mostly good"
    assert tally["ill-conditioned"] + tally["no smooth step"] <= 0.05 * count


@pytest.mark.timeout(600)
def test_random_programs() -> None:
    """Values, both modes and finite differences agree on sixty random programs."""
    check_tally(explore(60, 3, **UNOPTIMISED), 60)


@pytest.mark.long
@pytest.mark.timeout(5400)
def test_many_random_programs() -> None:
    """They agree on two thousand, which use every op that the interpreter knows."""
    tally = explore(2000, 4)
    check_tally(tally, 2000)
    unused = {name for name in {**APPLY, **INTERPRETED} if name in ALL and not tally[f"op {name}"]}
    assert not unused, "ops that no program used"
