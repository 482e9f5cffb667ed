"""Second derivatives: all of them, the unmixed ones, or their sum."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradwire_server.compiler.derivatives.jacobians import jacobian_at
from gradwire_server.compiler.derivatives.point import Arrays, Point, at_point
from gradwire_server.compiler.derivatives.sweeps import (
    split_columns,
    stack_sweeps,
    sum_sweeps,
    unit_vectors,
)
from gradwire_server.compiler.lowering.core import JaxFunction, Lowering

Shared = tuple[Arrays, Arrays]
"""The values and aux, which all sweeps share."""


def _hessian(
    f: JaxFunction, *operands: jax.Array, inner_mode: str, chunk: int, **attrs: Any
) -> list[jax.Array]:
    """Pushes unit vectors forward through the Jacobian, for a scalar the gradient."""
    point = at_point(f, operands, attrs)
    layout = point.layout

    def first_derivatives(*leaves: jax.Array) -> tuple[Arrays, Shared]:
        here = Point(point.function, leaves, (), layout)
        values, aux, jacobians = jacobian_at(here, inner_mode, 0)
        return tuple(jacobians), (values, aux)

    def sweep(index: jax.Array) -> tuple[Shared, Arrays]:
        tangents = unit_vectors(layout.leaves, index)
        _, rows, shared = jax.jvp(first_derivatives, point.leaves, tangents, has_aux=True)
        return shared, rows

    (values, aux), stacks = stack_sweeps(sweep, layout.num_inputs, chunk)
    hessians = [column for stack in stacks for column in split_columns(stack, layout.leaves)]
    return [*values, *hessians, *aux]


def directional(point: Point, tangents: Arrays) -> tuple[Shared, tuple[Arrays, Arrays]]:
    """Returns ``(values, aux)`` and the derivatives of each value along t ↦ x + t·v.

    First and second, by forward over forward: the second is vᵀHv for every
    value at once, without storing intermediates.
    """

    def first(*leaves: jax.Array) -> tuple[Arrays, Shared]:
        values, firsts, aux = jax.jvp(point.function, leaves, tangents, has_aux=True)
        return firsts, (values, aux)

    firsts, seconds, shared = jax.jvp(first, point.leaves, tangents, has_aux=True)
    return shared, (firsts, seconds)


def _hessian_diagonal(
    f: JaxFunction, *operands: jax.Array, chunk: int, **attrs: Any
) -> list[jax.Array]:
    point = at_point(f, operands, attrs)
    layout = point.layout

    def sweep(index: jax.Array) -> tuple[Shared, Arrays]:
        shared, (_, seconds) = directional(point, unit_vectors(layout.leaves, index))
        return shared, seconds

    (values, aux), stacks = stack_sweeps(sweep, layout.num_inputs, chunk)
    diagonals = [column for stack in stacks for column in split_columns(stack, layout.leaves)]
    return [*values, *diagonals, *aux]


def _laplacian(
    f: JaxFunction, *operands: jax.Array, with_grad: bool, chunk: int, **attrs: Any
) -> list[jax.Array]:
    """Sums second directional derivatives; the first come from the same sweeps."""
    point = at_point(f, operands, attrs)
    layout = point.layout
    count = layout.num_inputs

    def sweep(index: jax.Array) -> tuple[Shared, tuple[Arrays, Arrays]]:
        return directional(point, unit_vectors(layout.leaves, index))

    def second(index: jax.Array) -> tuple[Shared, Arrays]:
        shared, (_, seconds) = sweep(index)
        return shared, seconds

    if not with_grad:
        (values, aux), laplacians = sum_sweeps(second, count, chunk)
        return [*values, *laplacians, *aux]
    (values, aux), (firsts, seconds) = stack_sweeps(sweep, count, chunk)
    gradients = [column for stack in firsts for column in split_columns(stack, layout.leaves)]
    return [*values, *gradients, *(jnp.sum(stack, 0) for stack in seconds), *aux]


LOWERINGS: dict[str, Lowering] = {
    "hessian": _hessian,
    "hessian_diagonal": _hessian_diagonal,
    "laplacian": _laplacian,
}
