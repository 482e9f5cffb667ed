"""Products with the first or second derivative, at the cost of a few evaluations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradwire_server.compiler.derivatives.point import Arrays, Point, at_point
from gradwire_server.compiler.lowering.core import JaxFunction, Lowering


def _jvp(f: JaxFunction, *operands: jax.Array, **attrs: Any) -> Arrays:
    point = at_point(f, operands, attrs)
    values, tangents, aux = jax.jvp(point.function, point.leaves, point.extras, has_aux=True)
    return (*values, *tangents, *aux)


def _vjp(f: JaxFunction, *operands: jax.Array, **attrs: Any) -> Arrays:
    point = at_point(f, operands, attrs)
    values, pull, aux = jax.vjp(point.function, *point.leaves, has_aux=True)
    return (*values, *pull(point.extras), *aux)


def _grad(f: JaxFunction, *operands: jax.Array, **attrs: Any) -> Arrays:
    values, gradients, aux = gradient(at_point(f, operands, attrs))
    return (*values, *gradients, *aux)


def _hvp(f: JaxFunction, *operands: jax.Array, **attrs: Any) -> Arrays:
    point = at_point(f, operands, attrs)
    values, products, aux = hessian_product(point, point.extras)
    return (*values, *products, *aux)


def gradient(point: Point) -> tuple[Arrays, Arrays, Arrays]:
    """Returns the scalar value, its gradient for each leaf, and aux."""
    values, pull, aux = jax.vjp(point.function, *point.leaves, has_aux=True)
    return values, pull((jnp.ones_like(values[0]),)), aux


def hessian_product(point: Point, tangents: Arrays) -> tuple[Arrays, Arrays, Arrays]:
    """Returns the scalar value, H·t for each leaf, and aux: forward over reverse."""

    def of_leaves(*leaves: jax.Array) -> tuple[Arrays, tuple[Arrays, Arrays]]:
        here = Point(point.function, leaves, (), point.layout)
        values, gradients, aux = gradient(here)
        return gradients, (values, aux)

    _, products, (values, aux) = jax.jvp(of_leaves, point.leaves, tangents, has_aux=True)
    return values, products, aux


LOWERINGS: dict[str, Lowering] = {"grad": _grad, "hvp": _hvp, "jvp": _jvp, "vjp": _vjp}
