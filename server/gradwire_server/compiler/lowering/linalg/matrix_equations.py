"""Linear matrix equations, and the functions of a matrix that are inverse to others, in JAX.

Their derivatives solve the same equations, so that they have all orders,
forward and in reverse, though JAX can't differentiate a Schur form. For one
matrix; ``vectorize`` maps them over batches.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.linalg.exponential import expm
from gradwire_server.compiler.lowering.linalg.matrices import adjoint, product
from gradwire_server.compiler.lowering.linalg.schur import (
    schur,
    triangular_log,
    triangular_log_slope,
    triangular_sqrt,
    triangular_sylvester,
)

_Factors = tuple[jax.Array, jax.Array]
"""U and T of a Schur form."""


def _like(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Returns a complex result in the operands' dtype."""
    return (x if jnp.issubdtype(dtype, jnp.complexfloating) else x.real).astype(dtype)


def _solve(
    left: _Factors, right: _Factors, q: jax.Array, *, stein: bool, transpose: bool
) -> jax.Array:
    """Returns X with A X + X B = Q, or X − A X B = Q (Stein), from the Schur forms of A and B.

    Transposed, the equation is that of Aᵀ and Bᵀ: Xᵀ solves it for B, A and Qᵀ.
    """
    if transpose:
        return _solve(right, left, q.T, stein=stein, transpose=False).T
    (u, t), (v, s) = left, right
    f = product(adjoint(u), product(q.astype(t.dtype), v))
    y = triangular_sylvester(t, s, f, stein=stein)
    return _like(product(u, product(y, adjoint(v))), q.dtype)


def _equation(
    a: jax.Array, b: jax.Array, q: jax.Array, left: _Factors, right: _Factors, *, stein: bool
) -> jax.Array:
    """Returns X with A X + X B = Q, or X − A X B = Q (Stein).

    With dQ − dA X − X dB on the right it is the equation of dX (Stein:
    dQ + dA X B + A X dB). That is ``custom_linear_solve``'s rule: it
    differentiates ``apply`` and never the solver, and transposes one solver
    into the other.
    """

    def apply(x: jax.Array) -> jax.Array:
        return x - product(a, product(x, b)) if stein else product(a, x) + product(x, b)

    def solver(transpose: bool) -> Callable[..., jax.Array]:
        return lambda _, q: _solve(left, right, q, stein=stein, transpose=transpose)

    solution: jax.Array = lax.custom_linear_solve(apply, q, solver(False), solver(True))
    return solution


def _sylvester(a: jax.Array, b: jax.Array, q: jax.Array) -> jax.Array:
    if q.size == 0:
        return q
    return _equation(a, b, q, schur(a), schur(b), stein=False)


def _lyapunov(stein: bool) -> Callable[[jax.Array, jax.Array], jax.Array]:
    def solve(a: jax.Array, q: jax.Array) -> jax.Array:
        if q.size == 0:
            return q
        u, t = schur(a)
        # Aᴴ = U Tᴴ Uᴴ with a lower triangle in the middle; upside down it is upper.
        factors = u[:, ::-1], adjoint(t)[::-1, ::-1]
        return _equation(a, adjoint(a), q, (u, t), factors, stein=stein)

    return solve


def _principal(value: jax.Array, t: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Returns a function of a matrix in its dtype; NaN if that is real and the value isn't.

    It isn't where the matrix has a negative eigenvalue. One that rounding has
    moved off the axis shows in the value's imaginary part, whose least size
    otherwise is that of the root of a negative rounding error.
    """
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return value.astype(dtype)
    eigenvalues, epsilon = jnp.diag(t), float(np.finfo(dtype).eps)
    rounding = 8 * t.shape[-1] * epsilon * jnp.linalg.norm(t)
    negative = (eigenvalues.real < -rounding) & (jnp.abs(eigenvalues.imag) <= rounding)
    stray = jnp.max(jnp.abs(value.imag)) > 64 * epsilon**0.5 * jnp.max(jnp.abs(value))
    return jnp.where(jnp.any(negative) | stray, jnp.nan, value.real).astype(dtype)


@jax.custom_jvp
def _sqrtm(a: jax.Array) -> jax.Array:
    if a.size == 0:
        return a
    u, t = schur(a)
    root = product(u, product(triangular_sqrt(t), adjoint(u)))
    return _principal(root, t, a.dtype)


@_sqrtm.defjvp
def _sqrtm_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """From S S = A: S dS + dS S = dA (Higham, Functions of Matrices, 6.1)."""
    (a,), (t_a,) = primals, tangents
    root = _sqrtm(a)
    return root, _sylvester(root, root, t_a)


@jax.custom_jvp
def _logm(a: jax.Array) -> jax.Array:
    if a.size == 0:
        return a
    u, t = schur(a)
    return _principal(product(u, product(triangular_log(t), adjoint(u))), t, a.dtype)


@_logm.defjvp
def _logm_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The slope of log at A is the inverse of that of exp at X = log A.

    So it is the solution of a linear equation in dX, whose derivatives are those of exp.
    """
    (a,), (t_a,) = primals, tangents
    value = _logm(a)
    if a.size == 0:
        return value, t_a
    u, t = schur(a)
    _, apply = jax.linearize(expm, value)

    def solve(_: object, e: jax.Array) -> jax.Array:
        return _log_slope(u, t, e)

    def transpose_solve(_: object, e: jax.Array) -> jax.Array:
        # The transposed slope along E is the slope at Aᵀ.
        return _log_slope(u, t, e.T).T

    return value, lax.custom_linear_solve(apply, t_a, solve, transpose_solve)


def _log_slope(u: jax.Array, t: jax.Array, e: jax.Array) -> jax.Array:
    """Returns the derivative of log along E at U T Uᴴ."""
    turned = product(adjoint(u), product(e.astype(t.dtype), u))
    slope = triangular_log_slope(t, turned)
    return _like(product(u, product(slope, adjoint(u))), e.dtype)


LOWERINGS: dict[str, Lowering] = {
    "linalg.logm": jnp.vectorize(_logm, signature="(n,n)->(n,n)"),
    "linalg.solve_continuous_lyapunov": jnp.vectorize(
        _lyapunov(stein=False), signature="(n,n),(n,n)->(n,n)"
    ),
    "linalg.solve_discrete_lyapunov": jnp.vectorize(
        _lyapunov(stein=True), signature="(n,n),(n,n)->(n,n)"
    ),
    "linalg.solve_sylvester": jnp.vectorize(_sylvester, signature="(m,m),(n,n),(m,n)->(m,n)"),
    "linalg.sqrtm": jnp.vectorize(_sqrtm, signature="(n,n)->(n,n)"),
}
