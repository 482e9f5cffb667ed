"""Traces and diagonals estimated from products with random probes.

M. F. Hutchinson, Communications in Statistics 19 (1990), for the trace, and
C. Bekas, E. Kokiopoulou and Y. Saad, Applied Numerical Mathematics 57 (2007),
for the diagonal: E[vᵀAv] = tr A and E[v ⊙ Av] = diag A if E[vvᵀ] = I.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradwire.tensors import TensorType
from gradwire_server.compiler.derivatives.jacobians import jacobian_entry
from gradwire_server.compiler.derivatives.point import Arrays, Point, at_point
from gradwire_server.compiler.derivatives.products import hessian_product
from gradwire_server.compiler.derivatives.second_order import Shared, directional
from gradwire_server.compiler.derivatives.sweeps import stack_sweeps, unit_vectors
from gradwire_server.compiler.lowering.core import JaxFunction, Lowering


def _trace_estimate(f: JaxFunction, *operands: jax.Array, **attrs: Any) -> list[jax.Array]:
    point = at_point(f, operands, attrs)
    if attrs["method"] == "exact":
        (values, aux), diagonal = _exact_diagonal(point, attrs["operator"])
        estimate = diagonal.sum()
        return [*values, estimate, jnp.zeros_like(estimate), *aux]

    def quadratic_form(*probe: jax.Array) -> tuple[Shared, jax.Array]:
        if attrs["operator"] == "hessian":
            shared, (_, (second,)) = directional(point, probe)
            return shared, second
        values, products, aux = jax.jvp(point.function, point.leaves, probe, has_aux=True)
        terms = [jnp.sum(v * p) for v, p in zip(probe, products, strict=True)]
        return (values, aux), functools.reduce(jnp.add, terms)

    (values, aux), samples = _over_probes(quadratic_form, point, attrs)
    estimate, error = _mean(samples)
    return [*values, estimate, error, *aux]


def _diagonal_estimate(f: JaxFunction, *operands: jax.Array, **attrs: Any) -> list[jax.Array]:
    point = at_point(f, operands, attrs)
    if attrs["method"] == "exact":
        (values, aux), diagonal = _exact_diagonal(point, attrs["operator"])
        exact = _split(diagonal, point.layout.leaves)
        return [*values, *exact, *(jnp.zeros_like(x) for x in exact), *aux]

    def product(*probe: jax.Array) -> tuple[Shared, Arrays]:
        if attrs["operator"] == "hessian":
            values, products, aux = hessian_product(point, probe)
        else:
            values, products, aux = jax.jvp(point.function, point.leaves, probe, has_aux=True)
        return (values, aux), tuple(v * p for v, p in zip(probe, products, strict=True))

    (values, aux), samples = _over_probes(product, point, attrs)
    means = [_mean(of_leaf) for of_leaf in samples]
    return [*values, *(mean for mean, _ in means), *(error for _, error in means), *aux]


def _over_probes(
    f: Callable[..., tuple[Shared, Any]], point: Point, attrs: Mapping[str, Any]
) -> tuple[Shared, Any]:
    """Returns the results of ``f`` that all probes share, and the others stacked along axis 0."""
    answer: tuple[Shared, Any] = jax.vmap(f, out_axes=(None, 0))(*_probes(point, attrs))
    return answer


def _exact_diagonal(point: Point, operator: str) -> tuple[Shared, jax.Array]:
    """Returns the diagonal, flat, from one product with each unit vector."""

    def entry(index: jax.Array) -> tuple[Shared, jax.Array]:
        if operator == "hessian":
            shared, (_, (second,)) = directional(point, unit_vectors(point.layout.leaves, index))
            return shared, second
        return jacobian_entry(point, index)

    return stack_sweeps(entry, point.layout.num_inputs, 0)


def _split(flat: jax.Array, leaves: tuple[TensorType, ...]) -> list[jax.Array]:
    parts = []
    offset = 0
    for leaf in leaves:
        part = flat[offset : offset + leaf.size]
        parts.append(part.reshape(leaf.shape).astype(leaf.dtype))
        offset += leaf.size
    return parts


def _probes(point: Point, attrs: Mapping[str, Any]) -> Arrays:
    """Returns the probes, ``(num_samples, *leaf)`` each: given, or drawn from the seed."""
    if attrs["probes"]:
        return point.extras
    draw = jax.random.rademacher if attrs["distribution"] == "rademacher" else jax.random.normal
    leaves = point.layout.leaves
    # The generator is explicit, so that no setting of JAX changes an estimate.
    keys = jax.random.split(jax.random.key(point.extras[0], impl="threefry2x32"), len(leaves))
    return tuple(
        draw(key, (attrs["num_samples"], *leaf.shape), leaf.dtype)
        for key, leaf in zip(keys, leaves, strict=True)
    )


def _mean(samples: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the mean over axis 0 and its standard error, which has no gradient."""
    count = samples.shape[0]
    mean = samples.mean(0)
    if count == 1:
        return mean, jnp.full_like(lax.stop_gradient(mean), jnp.inf)
    fixed = lax.stop_gradient(samples)
    variance = jnp.square(fixed - fixed.mean(0)).sum(0) / (count - 1)
    return mean, jnp.sqrt(variance / count)


LOWERINGS: dict[str, Lowering] = {
    "diagonal_estimate": _diagonal_estimate,
    "trace_estimate": _trace_estimate,
}
