"""Solutions of linear systems, and matrices made from parts, in JAX."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering


def _for_each(solve: Callable[..., jax.Array], signature: str, *operands: jax.Array) -> jax.Array:
    """Maps a solver over broadcast batch axes; the last operand may be one vector.

    As ``vmap`` does, so that one matrix with many right-hand sides is one call.
    """
    *matrices, b = operands
    mapped = jnp.vectorize(solve, signature=f"{signature},(n,k)->(n,k)")
    columns = b if b.ndim > 1 else b[:, None]
    solution: jax.Array = mapped(*matrices, columns)
    return solution if b.ndim > 1 else jnp.squeeze(solution, -1)


def _triangular(
    a: jax.Array, b: jax.Array, lower: bool, trans: int, unit_diagonal: bool = False
) -> jax.Array:
    return lax.linalg.triangular_solve(
        a,
        b,
        left_side=True,
        lower=lower,
        transpose_a=trans > 0,
        conjugate_a=trans == 2,
        unit_diagonal=unit_diagonal,
    )


def _solve_triangular(
    a: jax.Array, b: jax.Array, *, lower: bool, trans: int, unit_diagonal: bool
) -> jax.Array:
    return _for_each(lambda a, b: _triangular(a, b, lower, trans, unit_diagonal), "(n,n)", a, b)


def _cho_solve(a: jax.Array, b: jax.Array, *, lower: bool) -> jax.Array:
    first, second = (0, 2) if lower else (2, 0)

    def solve(a: jax.Array, b: jax.Array) -> jax.Array:
        return _triangular(a, _triangular(a, b, lower, first), lower, second)

    return _for_each(solve, "(n,n)", a, b)


def _tridiagonal_solve(lower: jax.Array, d: jax.Array, upper: jax.Array, b: jax.Array) -> jax.Array:
    return _for_each(lax.linalg.tridiagonal_solve, "(n),(n),(n)", lower, d, upper, b)


LOWERINGS: dict[str, Lowering] = {
    "linalg.block_diag": jax.scipy.linalg.block_diag,
    "linalg.cho_solve": _cho_solve,
    "linalg.solve": jnp.linalg.solve,
    "linalg.solve_triangular": _solve_triangular,
    "linalg.toeplitz": jnp.vectorize(jax.scipy.linalg.toeplitz, signature="(m),(n)->(m,n)"),
    "linalg.tridiagonal_solve": _tridiagonal_solve,
}
