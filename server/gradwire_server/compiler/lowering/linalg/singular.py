"""Singular values and vectors in JAX, with derivatives that are right or not finite.

As in ``spectra``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradwire_server.compiler.lowering.linalg.gaps import (
    divide_by_gap,
    is_lost,
    least_gap,
    non_finite_where,
)
from gradwire_server.compiler.lowering.linalg.matrices import adjoint, product

_Factors = tuple[jax.Array, jax.Array, jax.Array]


@jax.custom_jvp
def singular_vectors(a: jax.Array) -> _Factors:
    """Returns U, the singular values, falling, and Vᴴ, of a = U diag(s) Vᴴ."""
    u, s, vh = jnp.linalg.svd(a, full_matrices=False)
    return u, s, vh


@singular_vectors.defjvp
def _singular_vectors_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[_Factors, _Factors]:
    """With E = Uᴴ dA V = P + K, P Hermitian and K not: ds = diag P, and these.

    dU = U (P ∘ G + K ∘ H),  dV = V (P ∘ G − K ∘ H),  Gᵢⱼ = 1 / (sⱼ − sᵢ),  Hᵢⱼ = 1 / (sⱼ + sᵢ).

    That is M. Giles, Collected matrix derivative results, 2008, section 3.2, in partial
    fractions. What leaves the bases is divided by sⱼ. Of complex matrices the phases of
    uᵢ and vᵢ are bound to each other; the diagonal of K moves both by as much.
    """
    (a,), (t_a,) = primals, tangents
    u, s, vh = singular_vectors(a)
    uh, v = adjoint(u), adjoint(vh)
    least = least_gap(s)[..., None]
    moved = product(uh, product(t_a, v))
    hermitian, rest = (moved + adjoint(moved)) / 2, (moved - adjoint(moved)) / 2
    diagonal = jnp.eye(s.shape[-1], dtype=bool)
    gap = jnp.where(diagonal, jnp.inf, s[..., None, :] - s[..., :, None])
    total = s[..., None, :] + s[..., :, None]
    if not jnp.iscomplexobj(a):
        total = jnp.where(diagonal, jnp.inf, total)
    even = divide_by_gap(hermitian, gap, least)
    odd = divide_by_gap(rest, total, least)
    t_u, t_v = product(u, even + odd), product(v, even - odd)
    m, n = a.shape[-2:]
    if m > n:
        t_av = product(t_a, v)
        outside = t_av - product(u, product(uh, t_av))
        t_u = t_u + divide_by_gap(outside, s[..., None, :], least)
    if n > m:
        t_ahu = product(adjoint(t_a), u)
        outside = t_ahu - product(v, product(vh, t_ahu))
        t_v = t_v + divide_by_gap(outside, s[..., None, :], least)
    t_s = jnp.diagonal(moved.real, axis1=-2, axis2=-1)
    # As in ``spectra``. A value 0 leaves a vector on the longer side undetermined, and
    # of complex matrices both phases.
    repeats = jnp.any(is_lost(gap, least), -2, keepdims=True)
    zero = is_lost(s[..., None, :], least)
    free_u = repeats | zero if m > n or jnp.iscomplexobj(a) else repeats
    free_v = repeats | zero if n > m or jnp.iscomplexobj(a) else repeats
    return (u, s, vh), (non_finite_where(free_u, t_u), t_s, adjoint(non_finite_where(free_v, t_v)))


@jax.custom_jvp
def singular_values(a: jax.Array) -> jax.Array:
    """Returns the singular values, falling."""
    values: jax.Array = jnp.linalg.svdvals(a)
    return values


@singular_values.defjvp
def _singular_values_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """As above: dsᵢ = Re uᵢᴴ dA vᵢ, which no gap divides."""
    (a,), (t_a,) = primals, tangents
    u, s, vh = singular_vectors(a)
    return s, jnp.sum((jnp.conj(u) * product(t_a, adjoint(vh))).real, -2)
