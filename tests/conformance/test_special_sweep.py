"""The special functions against mpmath over wide ranges, with derivatives to order 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf

from conformance.special_points import OUTSIDE
from conformance.special_sweeps import Sweep, all_sweeps
from gradwire.opset import FAMILIES, OPS
from gradwire.tensors import Array
from gradwire_server.compiler.lowering import LOWERINGS
from haste import UNOPTIMISED

DIGITS = 40
SWEEPS = all_sweeps()
SLOW = ("special.betainc", "special.gammainc", "special.gammaincc")
"""To compile; for the long tests."""

EVERY_DAY = ("special.digamma-0", "special.gammainc-1", "special.log_ndtr-0", "special.zeta-1")

every_sweep = pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.id)


def _orders(sweep: Sweep, highest: int) -> Callable[..., list[jax.Array]]:
    """Returns the function that computes value and derivatives along the sweep's operand."""

    def compute(*operands: jax.Array) -> list[jax.Array]:
        def along(x: jax.Array) -> jax.Array:
            moved = [*operands]
            moved[sweep.place] = x
            result: jax.Array = LOWERINGS[sweep.op](*moved, **sweep.attrs)
            return result

        x = operands[sweep.place]
        results, function = [], along
        for _ in range(highest + 1):
            results.append(function(x))
            function = _derivative(function)
        return results

    return compute


def _derivative(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    def slope(x: jax.Array) -> jax.Array:
        result: jax.Array = jax.jvp(function, (x,), (jnp.ones_like(x),))[1]
        return result

    return slope


def _columns(points: Sequence[tuple[float, ...]], dtype: Any) -> list[Array]:
    with np.errstate(over="ignore"):
        return [np.asarray(column).astype(dtype) for column in zip(*points, strict=True)]


def _allowed(sweep: Sweep, order: int, point: tuple[float, ...], dtype: Any) -> tuple[Any, Any]:
    """Returns the derivative and what it may be off by."""
    accuracy = OPS[sweep.op].accuracy
    assert accuracy is not None
    # In float32 all is computed in float64 or by JAX, whose functions are good to some roundings.
    relative = max(accuracy[order > 0], 8 * float(np.finfo(dtype).eps))
    want = sweep.derivative(order, point)
    moved = sweep.derivative(order + 1, point) * mpf(point[sweep.place])
    return want, relative * (abs(want) + abs(moved))


def _check(sweep: Sweep, points: Sequence[tuple[float, ...]], highest: int, dtype: Any) -> None:
    """Holds the lowering at the points against mpmath."""
    got = jax.jit(_orders(sweep, highest), compiler_options=UNOPTIMISED)(
        *map(jnp.asarray, _columns(points, dtype))
    )
    info, wrong = np.finfo(dtype), []
    with mp.workdps(DIGITS):
        for order, values in enumerate(got):
            for point, value in zip(points, np.asarray(values, np.float64), strict=True):
                want, error = _allowed(sweep, order, point, dtype)
                if abs(want) > info.max:
                    right = not np.isfinite(value) or abs(value) > 0.999 * info.max
                elif not np.isfinite(value):
                    right = False
                else:
                    # XLA flushes what is below the smallest normal number.
                    right = abs(mpf(float(value)) - want) <= error + 2 * mpf(float(info.tiny))
                if not right:
                    wrong.append((order, point, float(value), mp.nstr(want, 17)))
    assert not wrong, f"{len(wrong)} of {len(points)}, as (order, point, got, want): {wrong[:8]}"


def _in_float32(points: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Returns the points that float32 holds."""
    columns, narrow = _columns(points, np.float64), _columns(points, np.float32)
    same = np.all([a == b for a, b in zip(columns, narrow, strict=True)], axis=0)
    return [point for point, held in zip(points, same, strict=True) if held]


@pytest.mark.parametrize("name", EVERY_DAY)
def test_slice_of_the_sweep_agrees_with_mpmath(name: str) -> None:
    """Every third point of some functions: value and first derivative, in float64."""
    (sweep,) = (sweep for sweep in SWEEPS if sweep.id == name)
    _check(sweep, sweep.points[::3], 1, np.float64)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@every_sweep
def test_sweep_agrees_with_mpmath(sweep: Sweep, dtype: Any) -> None:
    """Value and derivatives to order 3 are as accurate as the reference states."""
    points = sweep.points if dtype is np.float64 else _in_float32(sweep.points)
    _check(sweep, points, 3, dtype)


def test_every_special_function_states_domain_and_accuracy() -> None:
    """And is swept."""
    ops = {op.name: op for op in FAMILIES["special"]}
    assert all(op.domain for op in ops.values())
    stated = {name for name, op in ops.items() if op.accuracy is not None}
    assert {sweep.op for sweep in SWEEPS} == stated == set(ops)


@pytest.mark.parametrize(
    ("op", "points"),
    [
        pytest.param(op, points, id=op, marks=pytest.mark.long if op in SLOW else [])
        for op, points in OUTSIDE.items()
    ],
)
def test_outside_of_the_domain_no_number_comes(
    op: str, points: Sequence[tuple[float, ...]]
) -> None:
    """The value is NaN or infinite, and so is a derivative along each operand."""
    operands = [jnp.asarray(column) for column in _columns(points, np.float64)]
    attrs = {"n": 1} if op == "special.polygamma" else {}

    def function(*xs: jax.Array) -> jax.Array:
        result: jax.Array = LOWERINGS[op](*xs, **attrs)
        return result

    @partial(jax.jit, compiler_options=UNOPTIMISED)
    def both(*xs: jax.Array) -> tuple[jax.Array, jax.Array]:
        pair: tuple[jax.Array, jax.Array] = jax.jvp(function, xs, tuple(map(jnp.ones_like, xs)))
        return pair

    value, tangent = both(*operands)
    assert not np.isfinite(value).any(), value
    assert not np.isfinite(tangent).any(), tangent


def test_every_bounded_domain_is_left_once() -> None:
    """What is not computed everywhere has points outside of its domain."""
    bounded = {op.name for op in FAMILIES["special"] if op.domain not in ("", "every x")}
    assert set(OUTSIDE) == bounded
