"""The complex Schur form, and triangular equations that it leads to, on every platform.

For one matrix; JAX maps it over batches. Nothing here is differentiated:
``matrix_equations`` has rules for that.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.compiler.lowering.linalg.matrices import adjoint, product

_STEPS = 30
"""QR steps for each eigenvalue, and for each matrix; LAPACK's bound too."""


def schur(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns U, T with a = U T Uᴴ: U unitary, T upper triangular, both complex.

    LAPACK's on the CPU; elsewhere, where JAX has none, ``shifted_qr``.
    """
    dtype = jnp.complex128 if a.real.dtype == jnp.float64 else jnp.complex64
    u, t = lax.platform_dependent(
        lax.stop_gradient(a).astype(dtype), cpu=_lapack, default=shifted_qr
    )
    return u, t


def _lapack(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    t, u = lax.linalg.schur(a)
    return u, jnp.triu(t)


_Progress = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]
"""U, T, the last row of the active block, steps in all, steps for this row."""


def shifted_qr(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the Schur form by the QR iteration with Wilkinson's shift.

    Golub, Van Loan, Matrix Computations, 7.5: Q R = T − σ, T ← Qᴴ T Q until
    the last row of the active block is 0 but for its eigenvalue, which is then
    left out. Products of whole matrices only, so that an accelerator has work.
    NaN if it doesn't converge.
    """
    n = a.shape[-1]
    index = jnp.arange(n, dtype=jnp.int32)
    eye = jnp.eye(n, dtype=a.dtype)
    small = float(np.finfo(a.dtype).eps) * jnp.linalg.norm(a)

    def unfinished(state: _Progress) -> jax.Array:
        _, _, last, steps, _ = state
        return (last > 0) & (steps < _STEPS * (n + 1)) & jnp.isfinite(small)

    def step(state: _Progress) -> _Progress:
        u, t, last, steps, waited = state
        left = (index[:, None] == last) & (index < last)
        rest = jnp.linalg.norm(jnp.where(left, t, 0)).astype(t.dtype)
        # Every tenth step without success takes an arbitrary shift, so that the
        # iteration can't cycle.
        shift = jnp.where(
            waited % 10 == 9, t[last, last] + (0.75 + 0.25j) * rest, _wilkinson_shift(t, last)
        )
        active = (index <= last)[:, None] & (index <= last)
        q, _ = jnp.linalg.qr(jnp.where(active, t - shift * eye, eye))
        u, t = product(u, q), product(adjoint(q), product(t, q))
        done = jnp.linalg.norm(jnp.where(left, t, 0)) <= small
        t = jnp.where(done & left, 0, t)
        return u, t, jnp.where(done, last - 1, last), steps + 1, jnp.where(done, 0, waited + 1)

    zero = jnp.zeros((), jnp.int32)
    u, t, last, _, _ = lax.while_loop(unfinished, step, (eye, a, zero + n - 1, zero, zero))
    failed = (last > 0) | ~jnp.isfinite(small)
    return jnp.where(failed, jnp.nan, u), jnp.where(failed, jnp.nan, jnp.triu(t))


def _wilkinson_shift(t: jax.Array, last: jax.Array) -> jax.Array:
    """Returns the eigenvalue of the last 2 × 2 block that is nearer to its corner."""
    a, b = t[last - 1, last - 1], t[last - 1, last]
    c, d = t[last, last - 1], t[last, last]
    half = (a - d) / 2
    root = jnp.sqrt(half * half + b * c)
    far = jnp.where(jnp.abs(half + root) > jnp.abs(half - root), half + root, half - root)
    # d plus the smaller root of x² − 2 half x − bc, without cancellation.
    return d - jnp.where(far == 0, 0, b * c / jnp.where(far == 0, 1, far))


def triangular_sylvester(t: jax.Array, s: jax.Array, f: jax.Array, *, stein: bool) -> jax.Array:
    """Returns Y with T Y + Y S = F, or Y − T Y S = F (Stein), for upper triangular T, S.

    Bartels, Stewart 1972: column j of Y follows from those before it. NaN
    where a pivot is 0 to working precision: the solution isn't unique.
    """
    columns = s.shape[-1]
    eye = jnp.eye(t.shape[-1], dtype=t.dtype)
    diagonal = _diagonal(s)

    def solve_column(j: jax.Array, y: jax.Array) -> jax.Array:
        corner = lax.dynamic_slice_in_dim(diagonal, j, 1)
        before = product(y, _column(s, j))
        if stein:
            matrix, right = eye - corner * t, _column(f, j) + product(t, before)
        else:
            matrix, right = t + corner * eye, _column(f, j) - before
        column = lax.linalg.triangular_solve(matrix, right, left_side=True, lower=False)
        return lax.dynamic_update_slice_in_dim(y, column, j, 1)

    y = lax.fori_loop(0, columns, solve_column, jnp.zeros_like(f))
    left, right = _diagonal(t)[:, None], diagonal
    pivots = 1 - left * right if stein else left + right
    sizes = 1 + jnp.abs(left * right) if stein else jnp.abs(left) + jnp.abs(right)
    rounding = 4 * max(f.shape) * float(np.finfo(t.dtype).eps)
    return jnp.where(jnp.any(jnp.abs(pivots) <= rounding * sizes), jnp.nan, y)


def triangular_sqrt(t: jax.Array) -> jax.Array:
    """Returns the principal square root of an upper triangular matrix.

    Björck, Hammarling 1983: Rᵢⱼ (Rᵢᵢ + Rⱼⱼ) = Tᵢⱼ − Σ Rᵢₖ Rₖⱼ over i < k < j.
    NaN where Rᵢᵢ + Rⱼⱼ = 0 and the right-hand side is not: there is no root.
    """
    n = t.shape[-1]
    eye = jnp.eye(n, dtype=t.dtype)
    roots = jnp.sqrt(_diagonal(t))[:, None]
    diagonal, above = roots * eye, jnp.triu(t, 1)

    def solve_column(j: jax.Array, r: jax.Array) -> jax.Array:
        # Of r the columns before j are known, the others 0. So the rows from j on
        # are a system of their own, with the solution 0.
        root = lax.dynamic_slice_in_dim(roots, j, 1)
        lost = roots + root == 0
        matrix = r + diagonal + jnp.where(lost, 1 - roots, root) * eye
        column = lax.linalg.triangular_solve(matrix, _column(above, j), left_side=True, lower=False)
        column = jnp.where(lost & (column != 0), jnp.nan, column)
        return lax.dynamic_update_slice_in_dim(r, column, j, 1)

    strict: jax.Array = lax.fori_loop(0, n, solve_column, jnp.zeros_like(t))
    return diagonal + strict


def _column(x: jax.Array, j: jax.Array) -> jax.Array:
    return lax.dynamic_slice_in_dim(x, j, 1, 1)


def triangular_log(t: jax.Array) -> jax.Array:
    """Returns the principal logarithm of an upper triangular matrix.

    Inverse scaling and squaring (Higham, Functions of Matrices, 11.5): square
    roots until R = T^(1/2ᵏ) is near I, then 2ᵏ times the Padé approximant of
    log R, whose partial fractions are Σ wⱼ Y (I + xⱼ Y)⁻¹ with Y = R − I and
    Gauss–Legendre nodes and weights on [0, 1]. NaN for a singular matrix.
    """
    r, roots, _ = _near_one(t)
    eye = jnp.eye(t.shape[-1], dtype=t.dtype)
    y, (nodes, weights) = r - eye, _quadrature(t.dtype)
    stacked = jnp.broadcast_to(y, (len(_NODES), *y.shape))
    parts = lax.linalg.triangular_solve(eye + nodes * y, stacked, left_side=True, lower=False)
    log = jnp.exp2(roots).astype(t.dtype) * jnp.sum(weights * parts, 0)
    # The eigenvalues' logarithms are known without cancellation.
    log = jnp.where(eye == 1, jnp.log(_diagonal(t))[:, None], log)
    return jnp.where(_distance(r) <= _NEAR, log, jnp.nan)


def triangular_log_slope(t: jax.Array, e: jax.Array) -> jax.Array:
    """Returns the derivative of the logarithm of an upper triangular matrix along any e.

    That of ``triangular_log``, step by step (Al-Mohy, Higham, Relton 2013): if
    R is the root of T, and L that of the derivative, R L + L R = E; and the
    derivative of Y (I + xⱼ Y)⁻¹ along L is (I + xⱼ Y)⁻¹ L (I + xⱼ Y)⁻¹. How many
    roots are taken doesn't depend on e, which may be batched.
    """
    r, roots, (e,) = _near_one(t, e)
    eye = jnp.eye(t.shape[-1], dtype=t.dtype)
    nodes, weights = _quadrature(t.dtype)
    factors = eye + nodes * (r - eye)
    stacked = jnp.broadcast_to(e, factors.shape)
    for left in (True, False):
        stacked = lax.linalg.triangular_solve(factors, stacked, left_side=left, lower=False)
    slope = jnp.exp2(roots).astype(t.dtype) * jnp.sum(weights * stacked, 0)
    return jnp.where(_distance(r) <= _NEAR, slope, jnp.nan)


_Rooted = tuple[jax.Array, jax.Array, tuple[jax.Array, ...]]
"""R = T^(1/2ᵏ), k, and derivatives of R."""


def _near_one(t: jax.Array, *directions: jax.Array) -> _Rooted:
    """Takes roots until R is near I."""

    def far(state: _Rooted) -> jax.Array:
        return (_distance(state[0]) > _NEAR) & (state[1] < _MOST_ROOTS)

    def step(state: _Rooted) -> _Rooted:
        r, roots, slopes = state
        r = triangular_sqrt(r)
        slopes = tuple(triangular_sylvester(r, r, e, stein=False) for e in slopes)
        return r, roots + 1, slopes

    start = (t, jnp.zeros((), t.real.dtype), directions)
    rooted: _Rooted = lax.while_loop(far, step, start)
    return rooted


def _distance(r: jax.Array) -> jax.Array:
    """Returns the 1-norm of R − I."""
    return jnp.max(jnp.sum(jnp.abs(r - jnp.eye(r.shape[-1], dtype=r.dtype)), 0))


def _quadrature(dtype: jnp.dtype) -> list[jax.Array]:
    return [jnp.asarray(x, dtype)[:, None, None] for x in (_NODES, _WEIGHTS)]


def _diagonal(x: jax.Array) -> jax.Array:
    """Returns the diagonal; a sum is less to compile than a gather."""
    return jnp.sum(jnp.where(jnp.eye(x.shape[-1], dtype=bool), x, 0), -1)


_NEAR = 0.264
"""Where 7 nodes give log R to double precision (Higham, table 11.1), and 8 its slope."""
_MOST_ROOTS = 64
_LEGENDRE = np.polynomial.legendre.leggauss(8)
_NODES, _WEIGHTS = (1 + _LEGENDRE[0]) / 2, _LEGENDRE[1] / 2
"""Those of Gauss and Legendre on [0, 1]."""
