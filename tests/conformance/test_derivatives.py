"""Derivatives of every op against finite differences of the NumPy and SciPy references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conformance.harness import (
    Case,
    cases_of_table,
    dtype_of,
    finite_differences,
    lowered,
    unoptimised_and_optimised,
)
from gradwire.opset import OPS
from gradwire.opset.core import Derivatives
from gradwire.tensors import Array, Dtype, is_complex, is_inexact

SLOW = ("special.betainc", "special.gammainc", "special.gammaincc")
"""To compile; for the long tests, of which there is a sweep of them against mpmath, too."""

DOUBLES = ("float64", "complex128")


def _runs(*kinds: Derivatives) -> list[Any]:
    """Returns (case, dtype) for each case that has something to differentiate."""
    runs, seen = [], set()
    for case in cases_of_table():
        for name in DOUBLES:
            wanted = name in case.dtypes and (name == "float64" or case.complex_derivatives)
            wanted = wanted and OPS[case.op].derivatives in kinds
            if wanted and case.positions(case.inputs(dtype_of(name))):
                # One case of each op and dtype is enough for every day.
                at_length = (case.op, name) in seen or case.op in SLOW
                marks = [pytest.mark.long] if at_length else []
                runs.append(pytest.param(case, name, id=f"{case.id}-{name}", marks=marks))
                seen.add((case.op, name))
    return runs


def _pairing(cotangents: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """JAX's pairing of cotangents and tangents: bilinear, its real part."""
    return sum(jnp.real(jnp.sum(u * v)) for u, v in zip(cotangents, tangents, strict=True))


def _direction(rng: np.random.Generator, like: Array) -> Array:
    """Returns numbers of ``like``'s type, the largest of magnitude at most 1."""
    x = rng.uniform(-1, 1, like.shape)
    if is_complex(like.dtype):
        x = (x + 1j * rng.uniform(-1, 1, like.shape)) / np.sqrt(2)
    return np.asarray(x, like.dtype)


class Problem:
    """A case at a point, as a function of the operands that are differentiated."""

    def __init__(self, case: Case, dtype: Dtype) -> None:
        self.case = case
        self.attrs = case.attrs_for(dtype)
        self.inputs = case.inputs(dtype)
        self.positions = case.positions(self.inputs)
        self.function = lowered(case, self.inputs, self.attrs)
        rng = np.random.default_rng(7)
        self.point = [self.inputs[i] for i in self.positions]
        self.tangents = [_direction(rng, x) for x in self.point]
        self.cotangents = [_direction(rng, x) for x in self.reference(0.0)]

    def place(self, moved: Sequence[Any]) -> list[Any]:
        inputs: list[Any] = list(self.inputs)
        for position, value in zip(self.positions, moved, strict=True):
            inputs[position] = value
        return inputs

    def value(self, *moved: Any) -> list[Any]:
        """The op in JAX; discrete outputs are left out."""
        outputs = self.case.observed(jnp, self.function(*map(jnp.asarray, self.place(moved))))
        return [y for y in outputs if is_inexact(y.dtype)]

    def reference(self, t: float) -> list[Array]:
        """The reference along the tangents."""
        moved = [x + t * v for x, v in zip(self.point, self.tangents, strict=True)]
        outputs = self.case.expected(self.place(moved), self.attrs)
        return [y for y in outputs if is_inexact(y.dtype)]

    def jvp(self, *point: Any) -> list[Any]:
        tangents: list[Any] = jax.jvp(self.value, point, tuple(map(jnp.asarray, self.tangents)))[1]
        return tangents

    def vjp(self, *point: Any) -> Any:
        return jax.vjp(self.value, *point)[1](self.cotangents)

    def second(self, *point: Any) -> Any:
        """Reverse over forward: the second derivative of u·f along v."""
        slope, pull = jax.vjp(lambda *p: _pairing(self.cotangents, self.jvp(*p)), *point)
        return _pairing(pull(jnp.ones_like(slope)), self.tangents)


def _assert_near(got: Any, want: Any, tolerance: float, what: str) -> None:
    scale = max(np.abs(want).max(initial=0), 1e-3)
    assert np.isfinite(want).all(), f"{what}: the finite differences are not finite"
    np.testing.assert_allclose(got, want, tolerance, tolerance * scale, err_msg=what)


@unoptimised_and_optimised
@pytest.mark.parametrize(("case", "dtype"), _runs(Derivatives.ANY, Derivatives.FIRST))
def test_derivatives_agree_with_finite_differences(
    case: Case, dtype: str, options: dict[str, Any]
) -> None:
    """jvp, vjp (by the transpose identity) and, if of any order, the second derivative."""
    problem = Problem(case, dtype_of(dtype))
    any_order = OPS[case.op].derivatives is Derivatives.ANY
    first, second = finite_differences(problem.reference, case.step)

    def run(point: list[Any]) -> tuple[Any, Any, Any]:
        curvature = problem.second(*point) if any_order else None
        return problem.jvp(*point), problem.vjp(*point), curvature

    t_out, ct_in, curvature = jax.jit(run, compiler_options=options)(problem.point)
    assert len(t_out) == len(first) > 0
    for position, (ours, theirs) in enumerate(zip(t_out, first, strict=True)):
        _assert_near(ours, theirs, 1e-7, f"jvp, output {position}")
    for x, ct in zip(problem.point, ct_in, strict=True):
        assert (ct.shape, ct.dtype) == (x.shape, x.dtype)
    # The same pairing of the same numbers in two orders.
    forward, reverse = _pairing(problem.cotangents, t_out), _pairing(ct_in, problem.tangents)
    _assert_near(reverse, np.asarray(forward), 1e-9, "vjp")
    if any_order:
        want = _pairing(problem.cotangents, second)
        scale = sum(np.abs(d).max(initial=0) for d in second)
        np.testing.assert_allclose(curvature, want, 1e-5, 1e-5 * max(scale, 1e-2), err_msg="second")


@pytest.mark.parametrize(("case", "dtype"), _runs(Derivatives.ZERO))
def test_derivatives_of_discrete_ops_are_zero(case: Case, dtype: str) -> None:
    """Forward and in reverse, whether or not the result is a number that could change."""
    problem = Problem(case, dtype_of(dtype))
    if not problem.cotangents:
        _, tangents = jax.jvp(
            lambda *p: problem.function(*problem.place(p)),
            tuple(problem.point),
            tuple(problem.tangents),
        )
        assert all(t.dtype == jax.dtypes.float0 for t in tangents)
        return
    for zeros in (problem.jvp(*problem.point), problem.vjp(*problem.point)):
        for x in zeros:
            np.testing.assert_array_equal(x, np.zeros(x.shape))
