"""Jacobians, Jacobians of each sample of a batch, and traces of Jacobians.

∂value/∂leaf has the value's dtype, complex if the leaf is complex, in whichever
mode it was computed; see ``jacobian_dtype``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradwire.opset.differentiation import (
    AUTO,
    FORWARD,
    jacobian_dtype,
    num_reverse,
    stacks_parts,
)
from gradwire.opset.rules import real_part
from gradwire.opset.samples import BatchedLayout, divide_batch
from gradwire.tensors import TensorType
from gradwire_server.compiler.derivatives.point import Arrays, Point, at_point
from gradwire_server.compiler.derivatives.sweeps import (
    split_columns,
    stack_sweeps,
    sum_sweeps,
    unit_vectors,
)
from gradwire_server.compiler.lowering.core import JaxFunction, Lowering

Widen = Callable[[Arrays], Arrays]
"""Turns a unit vector of one sample, or of the whole, into one of the whole."""


def _jacobian(
    f: JaxFunction, *operands: jax.Array, mode: str, chunk: int, holomorphic: bool, **attrs: Any
) -> list[jax.Array]:
    point = at_point(f, operands, attrs)
    del holomorphic  # only the choice of the mode needs it
    values, aux, jacobians = jacobian_at(point, mode, chunk)
    return [*values, *jacobians, *aux]


def jacobian_at(point: Point, mode: str, chunk: int) -> tuple[Arrays, Arrays, list[jax.Array]]:
    """Returns values, aux and ``(*out, *in)`` for each value and leaf."""
    leaves, values = point.layout.leaves, point.layout.values
    if mode == FORWARD:
        primals, aux, stacks = forward_stacks(point, leaves, lambda units: units, chunk)
        jacobians = [split_columns(stack, leaves) for stack in stacks]
    else:
        primals, aux, rows = reverse_stacks(point, values, lambda units: units, chunk)
        jacobians = [
            [
                stack.reshape(value.shape + leaf.shape)
                for stack, leaf in zip(mine, leaves, strict=True)
            ]
            for value, mine in zip(values, rows, strict=True)
        ]
    return primals, aux, _cast(jacobians, values, leaves)


def forward_stacks(
    point: Point, units_of: Sequence[TensorType], widen: Widen, chunk: int
) -> tuple[Arrays, Arrays, Arrays]:
    """Returns values, aux and ``(n, *value)`` for each value: J times each unit vector."""

    def sweep(index: jax.Array) -> tuple[tuple[Arrays, Arrays], Arrays]:
        tangents = widen(unit_vectors(units_of, index))
        values, products, aux = jax.jvp(point.function, point.leaves, tangents, has_aux=True)
        return (values, aux), products

    count = sum(leaf.size for leaf in units_of)
    (values, aux), stacks = stack_sweeps(sweep, count, chunk)
    return values, aux, stacks


def reverse_stacks(
    point: Point, units_of: Sequence[TensorType], widen: Widen, chunk: int
) -> tuple[Arrays, Arrays, list[list[jax.Array]]]:
    """Returns values, aux and for each value and leaf ``(m, *leaf)``: the rows of J.

    A complex value of real leaves is treated as two real values, since a
    cotangent of it would give only the real part of a combination of rows.
    """
    leaves = point.layout.leaves
    apart = [stacks_parts(leaves, value) for value in point.layout.values]

    def parts_of(*leaves: jax.Array) -> tuple[Arrays, tuple[Arrays, Arrays]]:
        values, aux = point.function(*leaves)
        parts: list[jax.Array] = []
        for value, two in zip(values, apart, strict=True):
            parts += [value.real, value.imag] if two else [value]
        return tuple(parts), (values, aux)

    parts, pull, (values, aux) = jax.vjp(parts_of, *point.leaves, has_aux=True)
    units = [unit for unit, two in zip(units_of, apart, strict=True) for _ in range(1 + two)]
    part_units = [
        TensorType(part.dtype, unit.shape) for part, unit in zip(parts, units, strict=True)
    ]
    _, rows = stack_sweeps(
        lambda i: (None, pull(widen(unit_vectors(part_units, i)))),
        num_reverse(leaves, units_of),
        chunk,
    )
    answer: list[list[jax.Array]] = []
    offset = 0
    for unit, two in zip(units_of, apart, strict=True):
        mine = [leaf_rows[offset : offset + unit.size] for leaf_rows in rows]
        offset += unit.size
        if two:
            imaginary = [leaf_rows[offset : offset + unit.size] for leaf_rows in rows]
            mine = [_complex(re, im, unit) for re, im in zip(mine, imaginary, strict=True)]
            offset += unit.size
        answer.append(mine)
    return values, aux, answer


def _complex(re: jax.Array, im: jax.Array, value: TensorType) -> jax.Array:
    real = real_part(value.dtype)
    return jax.lax.complex(re.astype(real), im.astype(real))


def _cast(
    columns: Sequence[Sequence[jax.Array]],
    values: Sequence[TensorType],
    leaves: Sequence[TensorType],
) -> list[jax.Array]:
    return [
        jacobian.astype(jacobian_dtype(value, leaf))
        for value, row in zip(values, columns, strict=True)
        for leaf, jacobian in zip(leaves, row, strict=True)
    ]


def _batched_jacobian(
    f: JaxFunction,
    *operands: jax.Array,
    mapped: tuple[int, ...],
    mode: str,
    parameter_mode: str,
    chunk: int,
    holomorphic: bool,
    independent: bool,
    **attrs: Any,
) -> list[jax.Array]:
    """Computes the blocks by n or m sweeps, each over all samples at once.

    Where samples don't mix, Σ_c ∂y[b]/∂x[c] eᵢ is the i-th column of block b
    alone, and Σ_c eⱼ ∂y[c]/∂x[b] its j-th row. Only the check of independence needs
    ``independent``, and only the choice of the modes needs ``holomorphic``.
    """
    del independent, holomorphic
    point = at_point(f, operands, attrs)
    layout = point.layout
    batched = divide_batch(layout, {"mapped": mapped, **attrs})
    values: Arrays = ()
    aux: Arrays = ()
    blocks: list[list[jax.Array]] = [[] for _ in layout.values]
    full: list[list[jax.Array]] = [[] for _ in layout.values]
    if batched.leaves:
        mine = _only(point, batched.mapped)
        values, aux, blocks = _blocks(mine, batched, mode, chunk)
    if batched.parameters:
        rest = _only(point, [not flag for flag in batched.mapped])
        direction = mode if parameter_mode == AUTO else parameter_mode
        values, aux, flat = jacobian_at(rest, direction, chunk)
        full = _rows(flat, len(batched.parameters))
    ordered = [
        (mine if flag else others).pop(0)
        for mine, others in zip(blocks, full, strict=True)
        for flag in batched.mapped
    ]
    return [*values, *ordered, *aux]


def _only(point: Point, flags: Sequence[bool]) -> Point:
    """Returns the point as a function of the flagged leaves; the others are fixed."""

    def function(*leaves: jax.Array) -> tuple[Arrays, Arrays]:
        given = iter(leaves)
        return point.function(
            *(next(given) if flag else leaf for leaf, flag in zip(point.leaves, flags, strict=True))
        )

    def pick(items: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(item for item, flag in zip(items, flags, strict=True) if flag)

    layout = point.layout
    return Point(
        function,
        pick(point.leaves),
        (),
        type(layout)(
            layout.params, pick(layout.positions), pick(layout.leaves), layout.values, layout.aux
        ),
    )


def _blocks(
    point: Point, batched: BatchedLayout, mode: str, chunk: int
) -> tuple[Arrays, Arrays, list[list[jax.Array]]]:
    """Returns values, aux and ``(B, *out, *in)`` for each value and each leaf."""
    size, leaves, values = batched.size, batched.leaves, batched.values

    def widen(units: Arrays) -> Arrays:
        return tuple(jnp.broadcast_to(unit, (size, *unit.shape)) for unit in units)

    if mode == FORWARD:
        primals, aux, stacks = forward_stacks(point, leaves, widen, chunk)
        blocks = [split_columns(stack, leaves) for stack in stacks]
    else:
        primals, aux, rows = reverse_stacks(point, values, widen, chunk)
        blocks = [
            [
                jnp.moveaxis(stack, 0, 1).reshape(size, *value.shape, *leaf.shape)
                for stack, leaf in zip(mine, leaves, strict=True)
            ]
            for value, mine in zip(values, rows, strict=True)
        ]
    return primals, aux, _rows(_cast(blocks, values, leaves), len(leaves))


def _rows(flat: list[jax.Array], step: int) -> list[list[jax.Array]]:
    return [flat[i : i + step] for i in range(0, len(flat), step)]


def _jacobian_trace(
    f: JaxFunction, *operands: jax.Array, chunk: int, **attrs: Any
) -> list[jax.Array]:
    point = at_point(f, operands, attrs)
    (values, aux), trace = sum_sweeps(
        lambda i: jacobian_entry(point, i), point.layout.num_inputs, chunk
    )
    return [*values, trace, *aux]


def jacobian_entry(point: Point, index: jax.Array) -> tuple[tuple[Arrays, Arrays], jax.Array]:
    """Returns ``(values, aux)`` and the ``index``-th diagonal entry of a square Jacobian.

    It is selected by position: a product with eᵢ would be NaN if another
    entry of the column is infinite.
    """
    tangents = unit_vectors(point.layout.leaves, index)
    values, products, aux = jax.jvp(point.function, point.leaves, tangents, has_aux=True)
    column = jnp.concatenate([product.ravel() for product in products])
    here = jnp.arange(column.size) == index
    return (values, aux), jnp.where(here, column, jnp.zeros_like(column)).sum()


LOWERINGS: dict[str, Lowering] = {
    "batched_jacobian": _batched_jacobian,
    "jacobian": _jacobian,
    "jacobian_trace": _jacobian_trace,
}
