"""Forward and reverse derivatives are of one matrix, at usual points and where ops are not smooth.

JAX transposes one into the other, so what differs are rules that don't fit
together: a branch that only one of them takes, or a number that only one drops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conformance.harness import Case, cases_of_table, dtype_of, lowered
from gradwire.opset import OPS
from gradwire.opset.core import Derivatives
from gradwire.tensors import Array, is_inexact
from haste import UNOPTIMISED

MAX_LENGTH = 400
"""The most numbers that are moved or come out; larger cases are not among these tests."""

EVERY_DAY = frozenset(
    [
        "abs",
        "atan2",
        "clip",
        "cumulative_max",
        "index_max",
        "interp",
        "linalg.vector_norm",
        "logaddexp",
        "max",
        "nn.max_pool",
        "pow",
        "remainder",
        "special.entr",
        "std",
        "where",
    ]
)
"""Ops with kinks, ties or rules of their own; the others are for the long tests."""

Points = dict[str, list[Array]]


def _changed(point: Sequence[Array], change: Callable[[Array], Array]) -> list[Array]:
    return [np.asarray(change(x.copy()), x.dtype) for x in point]


def _first_is(number: float) -> Callable[[Array], Array]:
    def change(x: Array) -> Array:
        x.reshape(-1)[:1] = number
        return x

    return change


def _zero_in_the_middle(x: Array) -> Array:
    x.reshape(-1)[x.size // 2 : x.size // 2 + 1] = 0
    return x


def _points(case: Case, inputs: Sequence[Array], positions: Sequence[int]) -> Points:
    """Returns operands that are differentiated, by what is peculiar about them."""
    usual = [inputs[i] for i in positions]
    other = case.inputs(dtype_of("float64"), seed=5)
    return {
        "usual": usual,
        "another": [other[i] for i in positions],
        "zero": _changed(usual, np.zeros_like),
        "one zero": _changed(usual, _zero_in_the_middle),
        "equal": _changed(usual, lambda x: np.full_like(x, x.reshape(-1)[0]) if x.size else x),
        "one": _changed(usual, np.ones_like),
        "minus one": _changed(usual, lambda x: -np.ones_like(x)),
        "NaN": _changed(usual, _first_is(np.nan)),
        "infinite": _changed(usual, _first_is(np.inf)),
        "minus infinite": _changed(usual, _first_is(-np.inf)),
        "large": _changed(usual, _first_is(1e200)),
        "small": _changed(usual, _first_is(1e-200)),
    }


class Flat:
    """A case as a function of one vector, whose value is one vector; whole numbers stay put."""

    def __init__(self, case: Case) -> None:
        dtype = dtype_of("float64")
        self.op = case.op
        self.attrs = case.attrs_for(dtype)
        self.inputs = case.inputs(dtype)
        self.positions = case.positions(self.inputs)
        self.function = lowered(case, self.inputs, self.attrs)
        self.points = _points(case, self.inputs, self.positions)
        self.shapes = [self.inputs[i].shape for i in self.positions]

    def __call__(self, x: Any) -> Any:
        operands: list[Any] = list(map(jnp.asarray, self.inputs))
        start = 0
        for place, shape in zip(self.positions, self.shapes, strict=True):
            size = int(np.prod(shape))
            operands[place] = jnp.reshape(x[start : start + size], shape)
            start += size
        outputs = [y for y in self.function(*operands) if is_inexact(y.dtype)]
        parts = [p for y in outputs for p in ([y.real, y.imag] if y.dtype.kind == "c" else [y])]
        return jnp.concatenate([jnp.ravel(p).astype(jnp.float64) for p in parts])

    def stacked(self) -> Array:
        """Returns a row for each point."""
        return np.stack([np.concatenate([x.ravel() for x in p]) for p in self.points.values()])


def _forward(f: Callable[[Any], Any], x: Any) -> Any:
    """J[i, j], the derivative of result i by operand j, column by column."""
    columns = jax.vmap(lambda t: jax.jvp(f, (x,), (t,))[1])(jnp.eye(x.size, dtype=x.dtype))
    return columns.T


def _reverse(f: Callable[[Any], Any], x: Any) -> Any:
    """The same, row by row."""
    y, pull = jax.vjp(f, x)
    return jax.vmap(lambda u: pull(u)[0])(jnp.eye(y.size, dtype=y.dtype))


def _cases(*kinds: Derivatives) -> list[Any]:
    """Returns the cases that move few numbers, all but the first of some ops for the long tests."""
    found: list[Any] = []
    seen: set[str] = set()
    for case in cases_of_table():
        if "float64" not in case.dtypes or OPS[case.op].derivatives not in kinds:
            continue
        inputs = case.inputs(dtype_of("float64"))
        positions = case.positions(inputs)
        if positions and 0 < sum(inputs[i].size for i in positions) <= MAX_LENGTH:
            every_day = case.op in EVERY_DAY - seen
            marks = [] if every_day else [pytest.mark.long]
            found.append(pytest.param(case, id=case.id, marks=marks))
            seen.add(case.op)
    return found


def assert_transposed(forward: Any, reverse: Any, tolerance: float, what: str) -> None:
    """Holds two matrices equal, made column by column and row by row.

    Where a coefficient is not finite, 0 times it is NaN: forward that spoils its
    whole row, for each other direction, and in reverse its whole column. So a
    number that is not finite must be so in both, or lie in a row of the reverse
    matrix, or a column of the forward one, that holds such a coefficient.
    """
    good, bad = np.isfinite(forward), np.isfinite(reverse)
    both = good & bad
    scale = np.abs(np.where(both, reverse, 0)).max(initial=0)
    near = np.abs(np.where(both, forward, 0) - np.where(both, reverse, 0)) <= tolerance * scale
    assert near.all(), (
        f"{what}: at {np.argwhere(~near)[0]} "
        f"forward {forward[~near][0]}, reverse {reverse[~near][0]}"
    )
    unexplained = (~good & bad & bad.all(axis=1, keepdims=True)) | (
        good & ~bad & good.all(axis=0, keepdims=True)
    )
    assert not unexplained.any(), (
        f"{what}: at {np.argwhere(unexplained)[0]} forward {forward[unexplained][0]}, "
        f"reverse {reverse[unexplained][0]}"
    )


def assert_all_transposed(
    flat: Flat, matrices: tuple[Any, Any], tolerance: float, left_out: Mapping[tuple[str, str], str]
) -> None:
    """Holds the pairs of all points equal, but for those that are left out."""
    problems = []
    for name, forward, reverse in zip(flat.points, *map(np.asarray, matrices), strict=True):
        try:
            assert_transposed(forward, reverse, tolerance, name)
        except AssertionError as error:
            if (flat.op, name) not in left_out:
                problems.append(str(error))
    assert not problems, "\n".join(problems)


OUTSIDE = {
    ("interp", "infinite"): "the first of the rising points is infinite",
    **{
        (op, name): "values repeat: vectors move only along what doesn't mix them"
        for op in ("linalg.eigh", "linalg.svd")
        for name in ("zero", "large")
    },
}
"""Points where an op, or its derivative, is not defined, and why."""

UNSETTLED = {
    **{
        (op, name): "values repeat, up to rounding, and a single one has no second derivative"
        for op in ("linalg.eigvalsh", "linalg.matrix_norm", "linalg.svdvals")
        for name in ("zero", "equal", "one", "minus one", "large")
    },
    ("linalg.det", "one"): "all minors are 0, and what is compared is what rounding left",
    ("linalg.det", "minus one"): "the same",
    ("nn.dot_product_attention", "large"): "squares of 1e200 overflow: 0 forward, NaN in reverse",
    ("special.betaln", "large"): "0 forward, NaN in reverse, where it is below 1e-200",
}
"""Points where an op has no second derivative, or none to compare, and why."""


@pytest.mark.parametrize("case", _cases(Derivatives.ANY, Derivatives.FIRST))
def test_reverse_is_the_transpose_of_forward(case: Case) -> None:
    """Column by column and row by row it is one Jacobian, whatever the operands hold."""
    flat = Flat(case)
    run = jax.jit(
        jax.vmap(lambda x: (_forward(flat, x), _reverse(flat, x))), compiler_options=UNOPTIMISED
    )
    assert_all_transposed(flat, run(flat.stacked()), 1e-9, OUTSIDE)


@pytest.mark.long
@pytest.mark.parametrize("case", _cases(Derivatives.ANY))
def test_second_derivatives_commute(case: Case) -> None:
    """Forward over reverse and reverse over forward make one symmetric matrix."""
    flat = Flat(case)
    size = np.asarray(jax.eval_shape(flat, flat.stacked()[0]).shape)[0]
    u = np.random.default_rng(3).uniform(0.5, 1.5, size)

    def hessians(x: Any) -> tuple[Any, Any]:
        def pulled(x: Any) -> Any:
            return jax.vjp(flat, x)[1](u)[0]

        def slope(x: Any, t: Any) -> Any:
            return jnp.dot(u, jax.jvp(flat, (x,), (t,))[1])

        rows = jax.vmap(lambda t: jax.grad(slope)(x, t))(jnp.eye(x.size, dtype=x.dtype))
        return _forward(pulled, x), rows

    run = jax.jit(jax.vmap(hessians), compiler_options=UNOPTIMISED)
    assert_all_transposed(flat, run(flat.stacked()), 1e-7, {**OUTSIDE, **UNSETTLED})
