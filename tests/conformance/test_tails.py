"""Values and derivatives keep their digits from 1e-300 to 1e300, where a formula may lose them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from conformance.harness import Case, lowered
from conformance.tails import BINARY, COMPLEX, UNARY, Exactly, Tail
from gradwire.tensors import Array
from haste import UNOPTIMISED

SOME = (1e-300, 1e-160, 1e-9, 0.1, 0.7, 3, 20, 40, 200, 690, 1e9, 1e160, 1e300)
MANY = (*SOME, 1e-200, 1e-100, 1e-30, 1e-3, 0.4, 1.3, 8, 80, 400, 1e4, 1e30, 1e100, 1e200)
FEW = (1e-300, 1e-200, 1e-30, 0.7, 2, 40, 1e30, 1e200, 1e300)
ANGLES = (0.3, 1.2, 1.9, 2.8, -0.3, -1.2, -1.9, -2.8)

WIDTHS = {"float64": (1e-301, 1e301, 1e-6), "float32": (1e-31, 1e31, 1e-3)}
"""From and to which magnitude, and how good relatively."""

Outputs = dict[tuple[Any, ...], Any]


def points_of(tail: Tail, kind: str, arity: int, magnitudes: Sequence[float]) -> list[Array]:
    """Returns the coordinates of the grid's points where the op is compared."""
    least, most, _ = WIDTHS[kind]
    numbers = [sign * m for m in magnitudes if least < m < most for sign in (1, -1)]
    numbers += [x for x in tail.near if kind == "float64"]
    grid = np.array(list(product(numbers, repeat=arity))).astype(kind)
    return list(np.array([point for point in grid if tail.inside(*map(float, point))]).T)


def lowered_by(tail: Tail, operands: Sequence[Array]) -> Callable[..., Any]:
    """Returns the op as a JAX function with one result."""
    case = Case(tail.op, lambda r, d: operands, abs, (str(operands[0].dtype),))
    function = lowered(case, operands, tail.attrs)
    return lambda *xs: function(*xs)[0]


def derivatives(function: Callable[..., Any], operands: Sequence[Any], thoroughly: bool) -> Outputs:
    """Returns the value and all derivatives to order 2, by each mode and mixture of two.

    Forward over forward only if ``thoroughly``: it costs a fourth of the compiling.
    """

    def alone(g: Callable[..., Any], i: int) -> Callable[..., Any]:
        return lambda xs: lambda x: g([*xs[:i], x, *xs[i + 1 :]])

    def forward(g: Callable[..., Any], i: int) -> Callable[..., Any]:
        one = jnp.ones_like(operands[i])
        return lambda xs: jax.jvp(alone(g, i)(xs), (xs[i],), (one,))[1]

    def reverse(g: Callable[..., Any], i: int) -> Callable[..., Any]:
        return lambda xs: jax.grad(lambda x: jnp.sum(alone(g, i)(xs)(x)))(xs[i])

    modes = {"forward": forward, "reverse": reverse}
    places = range(len(operands))

    def value(xs: Sequence[Any]) -> Any:
        return function(*xs)

    outputs: Outputs = {("value",): value(list(operands))}
    for (name, mode), i in product(modes.items(), places):
        outputs[name, i] = mode(value, i)(list(operands))
    mixtures = [("forward", "forward"), ("forward", "reverse"), ("reverse", "forward")]
    for first, then in mixtures if thoroughly else mixtures[1:]:
        for i, j in product(places, places):
            second = modes[then](modes[first](value, i), j)
            outputs[f"{then} over {first}", i, j] = second(list(operands))
    return outputs


def assert_right(got: Array, want: Array, tolerance: float, what: str) -> None:
    """Compares where what is right is a normal number, and asks for nearly 0 where it is less."""
    part = got.real.dtype
    least, most = float(np.finfo(part).tiny) * 1e6, float(np.finfo(part).max) / 1e3
    with np.errstate(all="ignore"):
        error = np.abs(got.astype(want.dtype) - want)
        right = np.where(
            np.abs(want) < least, np.abs(got) < 10 * least, error <= tolerance * np.abs(want)
        )
    wrong = np.flatnonzero(~right & ~(np.abs(want) > most))
    found, sought = got.ravel()[wrong[:5]], want.ravel()[wrong[:5]]
    assert not wrong.size, f"{what}: number {wrong[:5]} is {found}, not {sought}"


def assert_tails(
    tails: Sequence[Tail],
    kind: str,
    arity: int,
    magnitudes: Sequence[float],
    thoroughly: bool = False,
) -> None:
    """Holds ops and their derivatives, compiled together, against mpmath."""
    grids = [points_of(tail, kind, arity, magnitudes) for tail in tails]
    functions = [lowered_by(tail, xs) for tail, xs in zip(tails, grids, strict=True)]

    def run(grids: list[list[Any]]) -> list[list[Any]]:
        pairs = zip(functions, grids, strict=True)
        outputs = [derivatives(function, xs, thoroughly) for function, xs in pairs]
        names[:] = [list(output) for output in outputs]
        return [list(output.values()) for output in outputs]

    names: list[list[Any]] = []
    results = jax.jit(run, compiler_options=UNOPTIMISED)(grids)
    for tail, xs, result, labels in zip(tails, grids, results, names, strict=True):
        exactly = Exactly(tail.exact, xs)
        wanted: dict[Any, Array] = {(): exactly.value()}
        for (name, *places), got in zip(labels, result, strict=True):
            by = tuple(places)
            if by not in wanted:
                wanted[by] = exactly.first(*by) if len(by) == 1 else exactly.second(*by)
            what = f"{tail.id} {kind}, {name} by {by} at {[x.tolist() for x in xs]}"
            assert_right(np.asarray(got), wanted[by], WIDTHS[kind][2], what)


@pytest.mark.parametrize(
    "part", [0, 1, *(pytest.param(part, marks=pytest.mark.long) for part in (2, 3))]
)
def test_functions_of_one_number(part: int) -> None:
    """Value and derivatives to order 2 are relatively right to 1e-6 wherever they are numbers."""
    assert_tails(UNARY[part::4], "float64", 1, SOME)


@pytest.mark.parametrize("tail", BINARY, ids=lambda tail: tail.id)
def test_functions_of_two_numbers(tail: Tail) -> None:
    """So are those of two, where a square would overflow or underflow."""
    assert_tails([tail], "float64", 2, FEW[::2])


@pytest.mark.long
@pytest.mark.parametrize("kind", WIDTHS)
@pytest.mark.parametrize("tail", [*UNARY, *BINARY], ids=lambda tail: tail.id)
def test_many_points(tail: Tail, kind: str) -> None:
    """On a finer grid too, and in float32 to 1e-3."""
    arity = 1 if tail in UNARY else 2
    assert_tails([tail], kind, arity, MANY if arity == 1 else FEW, thoroughly=True)


def complex_points(tail: Tail, magnitudes: Sequence[float]) -> Array:
    """Returns points of eight directions, two in each quadrant."""
    z = np.array([m * np.exp(1j * angle) for m in magnitudes for angle in ANGLES])
    return z[[tail.inside(x) for x in z]]


@pytest.mark.long
@pytest.mark.parametrize(
    "magnitudes",
    [(1e-8, 1.3, 1e140), (1e-150, 0.4, 30, 1e8)],
    ids=["some", "more"],
)
def test_functions_of_a_complex_number(magnitudes: Sequence[float]) -> None:
    """In all quadrants, from tiny to huge, derivatives have the right sheet and their digits."""
    grids = [complex_points(tail, magnitudes) for tail in COMPLEX]
    functions = [lowered_by(tail, [z]) for tail, z in zip(COMPLEX, grids, strict=True)]

    def forward(g: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda z: jax.jvp(g, (z,), (jnp.ones_like(z),))[1]

    def reverse(g: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda z: jax.vjp(g, z)[1](jnp.ones_like(z))[0]

    def run(grids: list[Any]) -> list[Mapping[str, Any]]:
        return [
            {
                "0 value": f(z),
                "1 reverse": reverse(f)(z),
                "2 reverse over forward": reverse(forward(f))(z),
            }
            for f, z in zip(functions, grids, strict=True)
        ]

    results = jax.jit(run, compiler_options=UNOPTIMISED)(grids)
    for tail, z, result in zip(COMPLEX, grids, results, strict=True):
        exactly = Exactly(tail.exact, [z])
        wanted = {"0": exactly.value(), "1": exactly.first(0), "2": exactly.second(0, 0)}
        for name, got in result.items():
            assert_right(np.asarray(got), wanted[name[0]], 1e-9, f"{tail.id} {name} at {z}")


ROWS = np.array([[0.0, -40, -41], [700, 0.5, -3], [2, 1, -50], [-1, -0.5, 30], [900, 0, -1]])


def exact_weights(row: Array) -> list[Any]:
    """Returns the softmax of three numbers."""
    with mpmath.workdps(400):
        powers = [mpmath.exp(max(mpmath.mpf(x) - mpmath.mpf(max(row)), -2000)) for x in row]
        return [power / sum(powers) for power in powers]


def exact_derivatives(row: Array) -> tuple[Array, Array]:
    """Returns the first and second derivatives of logsumexp, then those of the softmax."""
    p = exact_weights(row)
    n = range(len(p))
    with mpmath.workdps(400):
        first = [[p[i] * ((i == j) - p[j]) for j in n] for i in n]
        second = [
            [[(first[i][k] * ((i == j) - p[j]) - p[i] * first[j][k]) for k in n] for j in n]
            for i in n
        ]
        return np.array(first).astype(np.float64), np.array(second).astype(np.float64)


MODES = {
    "mixed": (jax.jacrev, lambda f: jax.jacfwd(jax.jacrev(f))),
    "forward": (jax.jacfwd, lambda f: jax.jacfwd(jax.jacfwd(f))),
    "reverse": (jax.jacrev, lambda f: jax.jacrev(jax.jacfwd(f))),
}


@pytest.mark.parametrize(
    "mode", ["mixed", *(pytest.param(mode, marks=pytest.mark.long) for mode in list(MODES)[1:])]
)
def test_softmax_and_its_kind(mode: str) -> None:
    """Where one weight is nearly 1, what it lacks keeps its digits in all derivatives."""
    axis = {"axis": (-1,)}
    ops = ("nn.softmax", "nn.log_softmax", "logsumexp")
    functions = {op: lowered_by(Tail(op, abs, attrs=axis), [ROWS[0]]) for op in ops}
    running = lowered_by(Tail("cumulative_logsumexp", abs, attrs={"axis": -1}), [ROWS[0]])
    functions["cumulative_logsumexp"] = lambda row: running(row)[-1]

    def run(rows: Any) -> Any:
        return {
            op: [jax.vmap(f)(rows), *(jax.vmap(d(f))(rows) for d in MODES[mode])]
            for op, f in functions.items()
        }

    exact = [exact_derivatives(row) for row in ROWS]
    weights = np.array([exact_weights(row) for row in ROWS]).astype(np.float64)
    first, second = (np.array(part) for part in zip(*exact, strict=True))
    with mpmath.workdps(400):
        logs = [[mpmath.log(p) for p in exact_weights(row)] for row in ROWS]
        sums = [row[0] - log[0] for row, log in zip(ROWS, logs, strict=True)]
    by_log = np.eye(3) - weights[:, None, :]
    # 1 - p, summed from the others.
    for i in range(3):
        by_log[:, i, i] = np.delete(weights, i, axis=1).sum(axis=1)
    logarithms, totals = (np.array(x).astype(np.float64) for x in (logs, sums))
    wanted: dict[str, list[Array]] = {
        "nn.softmax": [weights, first, second],
        "nn.log_softmax": [logarithms, by_log, np.broadcast_to(-first[:, None], second.shape)],
        "logsumexp": [totals, weights, first],
        # The sum is made in pairs, so that its second derivatives by two small
        # elements are what two larger terms leave.
        "cumulative_logsumexp": [totals, weights],
    }
    for op, outputs in jax.jit(run, compiler_options=UNOPTIMISED)(ROWS).items():
        for order, want in enumerate(wanted[op]):
            assert_right(np.asarray(outputs[order]), want, 1e-9, f"{op}, order {order}")
