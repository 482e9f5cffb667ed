"""Sums of a function over a spectrum, in JAX, with second derivatives where values repeat.

Each eigenvalue by itself has no second derivative there, and rules for eigenvalues
can't supply the term that is missing in the sum: it has the second derivative of the
function, on which they don't depend. So the sum has a rule of its own. ``squares`` of
singular values need none. See ``spectral_pattern`` for how such sums are found.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from gradwire_server.compiler.lowering.linalg.double import differentiated_in_double
from gradwire_server.compiler.lowering.linalg.gaps import least_gap, non_finite_where
from gradwire_server.compiler.lowering.linalg.matrices import adjoint, product
from gradwire_server.compiler.lowering.linalg.singular import singular_values, singular_vectors
from gradwire_server.compiler.lowering.linalg.spectra import (
    hermitian_eigenvalues,
    hermitian_eigenvectors,
)

Terms = Callable[..., jax.Array]
"""An elementwise real function of (values, *parameters), in any number of axes; each
parameter has the same number as the values, or none, and the length 1 in the last."""

_Parameters = tuple[jax.Array, ...]
_EPSILON = float(np.finfo(np.float64).eps)


def sum_of_squares(x: jax.Array) -> jax.Array:
    """Returns Σ|xᵢⱼ|², the sum of the squares of the singular values."""
    return jnp.sum(jnp.square(x.real) + jnp.square(x.imag), (-2, -1))


def hermitian_sum(terms: Terms, h: jax.Array, *parameters: jax.Array) -> jax.Array:
    """Returns the sum of ``terms`` over the eigenvalues of a Hermitian matrix."""
    run = differentiated_in_double(lambda h, *p: _hermitian_sum(terms, h, p))
    total: jax.Array = run(h, *parameters)
    return total


def singular_sum(terms: Terms, a: jax.Array, *parameters: jax.Array) -> jax.Array:
    """Returns the sum of ``terms`` over the singular values of a matrix."""
    run = differentiated_in_double(lambda a, *p: _singular_sum(terms, a, p))
    total: jax.Array = run(a, *parameters)
    return total


def _slope(terms: Terms) -> Terms:
    def run(values: jax.Array, *parameters: jax.Array) -> jax.Array:
        along = lambda values: terms(values, *parameters)  # noqa: E731 - of one argument
        slope: jax.Array = jax.jvp(along, (values,), (jnp.ones_like(values),))[1]
        return slope

    return run


def _along(
    terms: Terms, values: jax.Array, parameters: _Parameters, t_parameters: _Parameters
) -> jax.Array:
    """Returns the derivative of ``terms`` by its parameters alone."""
    if not parameters:
        return jnp.zeros_like(values)
    slope: jax.Array = jax.jvp(lambda p: terms(values, *p), (parameters,), (t_parameters,))[1]
    return slope


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _hermitian_sum(terms: Terms, h: jax.Array, parameters: _Parameters) -> jax.Array:
    return jnp.sum(terms(hermitian_eigenvalues(h), *parameters), -1)


@_hermitian_sum.defjvp
def _hermitian_sum_jvp(
    terms: Terms, primals: tuple[jax.Array, _Parameters], tangents: tuple[jax.Array, _Parameters]
) -> tuple[jax.Array, jax.Array]:
    """The derivative of Σ g(wᵢ) along dH is the trace of g'(H) dH."""
    (h, parameters), (t_h, t_parameters) = primals, tangents
    w = hermitian_eigenvalues(h)
    gradient = _hermitian_function(_slope(terms), h, parameters)
    t_sum = jnp.sum((jnp.conj(gradient) * t_h).real, (-2, -1))
    t_sum = t_sum + jnp.sum(_along(terms, w, parameters, t_parameters), -1)
    return jnp.sum(terms(w, *parameters), -1), t_sum


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _hermitian_function(terms: Terms, h: jax.Array, parameters: _Parameters) -> jax.Array:
    """Returns V f(W) Vᴴ."""
    w, v = hermitian_eigenvectors(h)
    return product(v * terms(w, *parameters)[..., None, :].astype(v.dtype), adjoint(v))


@_hermitian_function.defjvp
def _hermitian_function_jvp(
    terms: Terms, primals: tuple[jax.Array, _Parameters], tangents: tuple[jax.Array, _Parameters]
) -> tuple[jax.Array, jax.Array]:
    """By Daleckii and Krein: V (D ∘ Vᴴ dH V) Vᴴ with the divided differences D of f.

    Higham, Functions of Matrices, 2008, theorem 3.11.
    """
    (h, parameters), (t_h, t_parameters) = primals, tangents
    w, v = hermitian_eigenvectors(h)
    f = terms(w, *parameters)
    slopes = _divided_differences(terms, w, f, parameters)
    moved = product(adjoint(v), product(t_h, v)) * slopes.astype(v.dtype)
    t_f = _along(terms, w, parameters, t_parameters)
    inner = moved + _diagonal(t_f, v.dtype)
    value = product(v * f[..., None, :].astype(v.dtype), adjoint(v))
    return value, product(v, product(inner, adjoint(v)))


def _diagonal(values: jax.Array, dtype: jnp.dtype) -> jax.Array:
    return values[..., None, :].astype(dtype) * jnp.eye(values.shape[-1], dtype=dtype)


def _divided_differences(
    terms: Terms, w: jax.Array, f: jax.Array, parameters: _Parameters
) -> jax.Array:
    """Returns (f(wᵢ) − f(wⱼ)) / (wᵢ − wⱼ), or where that is better the mean of f' between.

    Rounding makes an error of ε |f| / |wᵢ − wⱼ| in the first; Simpson's rule for the
    second errs by much less than it differs from the midpoint rule.
    """
    slope = _slope(terms)
    wide = tuple(p[..., None] if p.ndim else p for p in parameters)
    down, across = w[..., :, None], w[..., None, :]
    middle = slope((down + across) / 2, *wide)
    ends = slope(w, *parameters)
    simpson = (ends[..., :, None] + 4 * middle + ends[..., None, :]) / 6
    gap = down - across
    rounding = _EPSILON * (jnp.abs(f[..., :, None]) + jnp.abs(f[..., None, :]))
    near = (gap == 0) | (jnp.abs(simpson - middle) * jnp.abs(gap) <= rounding)
    quotient = (f[..., :, None] - f[..., None, :]) / jnp.where(near, 1, gap)
    return jnp.where(near, simpson, quotient)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _singular_sum(terms: Terms, a: jax.Array, parameters: _Parameters) -> jax.Array:
    return jnp.sum(terms(singular_values(a), *parameters), -1)


@_singular_sum.defjvp
def _singular_sum_jvp(
    terms: Terms, primals: tuple[jax.Array, _Parameters], tangents: tuple[jax.Array, _Parameters]
) -> tuple[jax.Array, jax.Array]:
    """The derivative of Σ g(sᵢ) along dA is the real part of the trace of (U g'(S) Vᴴ)ᴴ dA."""
    (a, parameters), (t_a, t_parameters) = primals, tangents
    s = singular_values(a)
    gradient = _singular_function(_slope(terms), a, parameters)
    t_sum = jnp.sum((jnp.conj(gradient) * t_a).real, (-2, -1))
    t_sum = t_sum + jnp.sum(_along(terms, s, parameters, t_parameters), -1)
    return jnp.sum(terms(s, *parameters), -1), t_sum


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _singular_function(terms: Terms, a: jax.Array, parameters: _Parameters) -> jax.Array:
    """Returns U f(S) Vᴴ."""
    u, s, vh = singular_vectors(a)
    return product(u * terms(s, *parameters)[..., None, :].astype(u.dtype), vh)


@_singular_function.defjvp
def _singular_function_jvp(
    terms: Terms, primals: tuple[jax.Array, _Parameters], tangents: tuple[jax.Array, _Parameters]
) -> tuple[jax.Array, jax.Array]:
    """With Uᴴ dA V = P + K, P Hermitian and K not: U (D⁻ ∘ P + D⁺ ∘ K) Vᴴ and the rest.

    D⁻ᵢⱼ = (f(sᵢ) − f(sⱼ)) / (sᵢ − sⱼ), D⁺ᵢⱼ = (f(sᵢ) + f(sⱼ)) / (sᵢ + sⱼ); what leaves
    the bases is multiplied by f(sⱼ) / sⱼ. Noferini, A Formula for the Fréchet Derivative
    of a Generalized Matrix Function, 2017.
    """
    (a, parameters), (t_a, t_parameters) = primals, tangents
    u, s, vh = singular_vectors(a)
    uh, v = adjoint(u), adjoint(vh)
    f = terms(s, *parameters)
    moved = product(uh, product(t_a, v))
    hermitian, rest = (moved + adjoint(moved)) / 2, (moved - adjoint(moved)) / 2
    t_f = _along(terms, s, parameters, t_parameters)
    inner = hermitian * _divided_differences(terms, s, f, parameters).astype(u.dtype)
    inner = inner + _diagonal(t_f, u.dtype)

    def over(x: jax.Array, values: jax.Array, sums: jax.Array) -> jax.Array:
        """Multiplies by f(s) / s; at s = 0 by f'(0), if f(0) = 0, for then f(−s) = −f(s)."""
        wide = tuple(p[..., None] if p.ndim else p for p in parameters)
        nothing = jnp.zeros_like(sums[..., :1, :1])
        at_zero = terms(nothing, *wide)
        lost = ~(at_zero == 0) & ~(sums > least_gap(s)[..., None])
        limit = _slope(terms)(nothing, *wide)
        factor = jnp.where(sums == 0, limit, values / jnp.where(sums == 0, 1, sums))
        return non_finite_where(lost, x * jnp.where(lost, 1, factor).astype(x.dtype))

    inner = inner + over(rest, f[..., :, None] + f[..., None, :], s[..., :, None] + s[..., None, :])
    t_value = product(u, product(inner, vh))
    m, n = a.shape[-2:]
    if m > n:
        t_av = product(t_a, v)
        outside = t_av - product(u, product(uh, t_av))
        t_value = t_value + product(over(outside, f[..., None, :], s[..., None, :]), vh)
    if n > m:
        t_ahu = product(adjoint(t_a), u)
        outside = t_ahu - product(v, product(vh, t_ahu))
        t_value = t_value + product(u, adjoint(over(outside, f[..., None, :], s[..., None, :])))
    return product(u * f[..., None, :].astype(u.dtype), vh), t_value
