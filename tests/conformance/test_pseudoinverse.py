"""The pseudoinverse and least squares with a cut-off: derivatives by finite differences."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conformance.traced import in_jax
from gradwire.tensors import Array
from haste import UNOPTIMISED

RNG = np.random.default_rng(4)
CUT = 0.2


def _matrix(m: int, n: int, values: list[float], dtype: str) -> Array:
    def basis(rows: int) -> Array:
        x = RNG.normal(size=(rows, rows)) + 1j * RNG.normal(size=(rows, rows))
        return np.asarray(np.linalg.qr(x if dtype == "complex128" else x.real)[0])

    k = len(values)
    return np.asarray((basis(m)[:, :k] * values) @ basis(n)[:k])


def _noise(a: Array) -> Array:
    x = RNG.normal(size=a.shape)
    return x + 1j * RNG.normal(size=a.shape) if a.dtype == complex else x


SPECTRA = {
    "two cut": [3.0, 2, 0.3, 0.2],
    "equal ones kept, equal ones cut": [3.0, 3, 0.2, 0.2],
    "rank 2": [3.0, 2, 0, 0],
    "nothing cut": [3.0, 2, 2, 1],
}


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        pytest.param((5, 4), "complex128", id="tall-complex", marks=pytest.mark.long),
        pytest.param((4, 5), "float64", id="wide-real"),
        pytest.param((4, 5), "complex128", id="wide-complex", marks=pytest.mark.long),
        pytest.param((4, 4), "float64", id="square-real", marks=pytest.mark.long),
    ],
)
def test_derivatives_where_a_cut_off_cuts(shape: tuple[int, int], dtype: str) -> None:
    """First and second along a line, and in reverse, are NumPy's at each of the spectra."""
    points = np.stack([_matrix(*shape, values, dtype) for values in SPECTRA.values()])
    e = _noise(points[0])
    inverse = in_jax(lambda a: np.linalg.pinv(a, rcond=CUT), points[0])

    def line(t: Any, a: Any) -> Any:
        return inverse(a + t * e)

    def derivatives(a: Any) -> Any:
        value, pull = jax.vjp(inverse, a)
        # Re(uᵀ J e) with u a unit of the value, the gradient of a real function along e.
        units = jnp.eye(value.size, dtype=a.dtype).reshape(-1, *value.shape)
        rows = jax.vmap(lambda ct: jnp.sum(pull(ct)[0] * e).real)(units)
        first = jax.jacfwd(line)
        return value, first(0.0, a), jax.jacfwd(first)(0.0, a), rows.reshape(value.shape)

    value, first, second, pulled = map(
        np.asarray, jax.jit(jax.vmap(derivatives), compiler_options=UNOPTIMISED)(points)
    )
    numpys = lambda a: np.linalg.pinv(a, rcond=CUT)  # noqa: E731 - a short name
    h = 2e-3

    def at(t: float) -> Array:
        return np.stack([numpys(a + t * e) for a in points])

    slope = [(at(x) - at(-x)) / (2 * x) for x in (h, h / 2)]
    bend = [(at(x) - 2 * at(0) + at(-x)) / x**2 for x in (h, h / 2)]
    np.testing.assert_allclose(value, at(0), 1e-10, 1e-10)
    np.testing.assert_allclose(first, (4 * slope[1] - slope[0]) / 3, 1e-6, 1e-6)
    np.testing.assert_allclose(second, (4 * bend[1] - bend[0]) / 3, 1e-4, 1e-4)
    np.testing.assert_allclose(pulled, first.real, 1e-9, 1e-9)


def test_least_squares_where_a_cut_off_cuts() -> None:
    """The gradient by matrix and right-hand side is NumPy's."""
    a, b, h = _matrix(4, 3, [3.0, 2, 0.2], "float64"), RNG.normal(size=4), 1e-5
    e, d = RNG.normal(size=(4, 3)), RNG.normal(size=4)

    def solve(a: Any, b: Any) -> Any:
        return np.linalg.lstsq(a, b, rcond=CUT)[0]

    function = in_jax(solve, a, b)
    got = jax.jit(lambda a, b: jax.jvp(function, (a, b), (e, d))[1])(a, b)
    want = (solve(a + h * e, b + h * d) - solve(a - h * e, b - h * d)) / (2 * h)
    np.testing.assert_allclose(got, want, 1e-7, 1e-7)


def test_a_cut_between_equal_values_is_loud() -> None:
    """The value has a jump next to it, and no derivative says which way."""
    a = np.diag([3.0, 0.6 + 1e-14, 0.6])
    inverse = in_jax(lambda a: np.linalg.pinv(a, rcond=CUT), a)
    slope = jax.jit(lambda a: jax.jvp(inverse, (a,), (np.ones((3, 3)),))[1])(a)
    assert not np.isfinite(np.asarray(slope)).all()


def test_float32_keeps_its_own_cut_off() -> None:
    """A value of 1e-9 of the largest is zero in float32, differentiated or not; not in float64."""
    a = np.diag([1.0, 1e-9])
    for dtype, want in (("float32", 0.0), ("float64", 1e9)):
        x = a.astype(dtype)
        inverse = in_jax(lambda a: np.linalg.pinv(a, rtol=None), x)
        value, slope = jax.jit(lambda x, f=inverse: jax.jvp(f, (x,), (jnp.eye(2, dtype=x.dtype),)))(
            x
        )
        np.testing.assert_allclose(value[1, 1], want, 1e-6)
        np.testing.assert_allclose(jax.jit(inverse)(x)[1, 1], want, 1e-6)
        np.testing.assert_allclose(slope[0, 0], -1, 1e-6)
