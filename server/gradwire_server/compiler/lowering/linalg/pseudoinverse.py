"""The pseudoinverse in JAX, with the derivatives of the part of a matrix above a cut-off."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.compiler.lowering.linalg.double import differentiated_in_double
from gradwire_server.compiler.lowering.linalg.gaps import divide_by_gap, least_gap
from gradwire_server.compiler.lowering.linalg.matrices import adjoint, product


def _kept(s: jax.Array, rtol: float) -> jax.Array:
    return s > rtol * jnp.max(s, -1, keepdims=True, initial=0)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _truncated_inverse(a: jax.Array, rtol: float) -> jax.Array:
    """Returns the sum of vᵢ uᵢᴴ / sᵢ over the singular values above ``rtol`` times the largest."""
    u, s, vh = jnp.linalg.svd(a, full_matrices=False)
    kept = _kept(s, rtol)
    inverse = jnp.where(kept, 1 / jnp.where(kept, s, 1), 0)
    return product(adjoint(vh), inverse[..., :, None].astype(u.dtype) * adjoint(u))


@_truncated_inverse.defjvp
def _truncated_inverse_jvp(
    rtol: float, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Divides only by gaps between kept and cut singular values, and holds at every order.

    Write P for the result, B = A − A P A for what is cut, and i for an index that is
    kept, j for one that is cut. With f = Pᴴ = U h(S) Vᴴ, h(s) = 1/s or 0, and
    E = Uᴴ dA V, the theorem of Daleckii and Krein for singular values (Noferini, A
    Formula for the Fréchet Derivative of a Generalized Matrix Function, 2017) says

        (Uᴴ df V)ᵢⱼ = (Eᵢⱼ + sⱼ/sᵢ conj Eⱼᵢ) / (sᵢ² − sⱼ²),

    the same with i and j exchanged, −conj(Eᵢᵢ')/(sᵢ sᵢ') among those that are kept
    and 0 among those that are cut. As an equation without U and V, the first says

        Y − (Pᴴ P) Y (Bᴴ B) = Pᴴ P (dA (I − P A) + Pᴴ dAᴴ B).

    With B = 0 that is the formula of Golub and Pereyra, 1973. ``custom_linear_solve``
    differentiates the equation, and never U and V, whose derivatives divide by all gaps.
    """
    (a,), (t_a,) = primals, tangents
    p = _truncated_inverse(a, rtol)
    u, s, vh = jnp.linalg.svd(lax.stop_gradient(a), full_matrices=False)
    kept = _kept(s, rtol)
    # The value of B comes from U and V: A − A P A is all rounding if nothing is cut.
    cut = a - product(a, product(p, a))
    cut = (
        product(u * jnp.where(kept, 0, s)[..., None, :].astype(u.dtype), vh)
        + cut
        - lax.stop_gradient(cut)
    )
    ph, t_ah, cut_h = adjoint(p), adjoint(t_a), adjoint(cut)
    right = t_a - product(product(t_a, p), a) + product(product(ph, t_ah), cut)
    left = t_a - product(a, product(p, t_a)) + product(cut, product(t_ah, ph))
    left_square, right_square = product(ph, p), product(p, ph)
    rows, columns = kept[..., :, None], kept[..., None, :]
    first = _exchange(u, s, vh, rows & ~columns)
    second = _exchange(u, s, vh, ~rows & columns)
    t_f = (
        _stein(left_square, product(cut_h, cut), product(left_square, right), first)
        + _stein(product(cut, cut_h), right_square, product(left, right_square), second)
        - product(ph, product(t_ah, ph))
    )
    return p, adjoint(t_f)


def _exchange(
    u: jax.Array, s: jax.Array, vh: jax.Array, pairs: jax.Array
) -> Callable[[jax.Array], jax.Array]:
    """Returns what the inverse of Y ↦ Y − left Y right adds to its operand.

    For the pairs of one that is kept and one that is cut, left and right together
    multiply by t = (smaller / larger)², and the inverse adds t / (1 − t) times the
    operand; between others left or right is 0.
    """
    across, down = s[..., None, :], s[..., :, None]
    larger, smaller = jnp.maximum(across, down), jnp.minimum(across, down)
    gap = jnp.where(pairs, larger - smaller, jnp.inf)
    share = smaller * smaller / jnp.where(pairs, larger + smaller, 1)
    least = least_gap(s)[..., None]

    def exchange(q: jax.Array) -> jax.Array:
        inner = product(adjoint(u), product(q, adjoint(vh)))
        added = divide_by_gap(inner * share.astype(inner.dtype), gap, least)
        return product(u, product(added, vh))

    return exchange


def _stein(
    left: jax.Array, right: jax.Array, q: jax.Array, exchange: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """Returns Y with Y − left Y right = q."""

    def apply(y: jax.Array) -> jax.Array:
        return y - product(left, product(y, right))

    def solve(_: object, q: jax.Array) -> jax.Array:
        return q + exchange(q)

    def transpose_solve(_: object, q: jax.Array) -> jax.Array:
        return q + jnp.conj(exchange(jnp.conj(q)))

    solution: jax.Array = lax.custom_linear_solve(apply, q, solve, transpose_solve)
    return solution


def pseudoinverse(x: jax.Array, *, rtol: float) -> jax.Array:
    """Returns the pseudoinverse; a negative ``rtol`` stands for epsilon times max(m, n)."""
    if x.size == 0:
        return jnp.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    if rtol < 0:
        rtol = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    inverse: jax.Array = differentiated_in_double(partial(_truncated_inverse, rtol=rtol))(x)
    return inverse


def least_squares(a: jax.Array, b: jax.Array, *, rtol: float) -> jax.Array:
    """Returns the shortest x with the least |a x - b|, by the pseudoinverse.

    Its derivative is right for repeated singular values as well.
    """
    return pseudoinverse(a, rtol=rtol) @ b
