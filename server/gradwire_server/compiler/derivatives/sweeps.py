"""Runs a linear map over unit vectors, all at once or in chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradwire.tensors import TensorType

Index = jax.Array
"""The number of a unit vector, counted through all leaves."""

Sweep = Callable[[Index], tuple[Any, Any]]
"""Returns what doesn't depend on the index, and a row that does."""


def unit_vectors(types: Sequence[TensorType], index: Index) -> tuple[jax.Array, ...]:
    """Returns the ``index``-th unit vector of the space of all ``types`` together."""
    units = []
    offset = 0
    for tensor_type in types:
        places = jnp.arange(offset, offset + tensor_type.size)
        units.append((places == index).astype(tensor_type.dtype).reshape(tensor_type.shape))
        offset += tensor_type.size
    return tuple(units)


def stack_sweeps(sweep: Sweep, count: int, chunk: int) -> tuple[Any, Any]:
    """Runs ``sweep(i)`` for i < count, ``chunk`` at once (0: all).

    Returns:
        What all sweeps share, and their rows stacked along a new axis 0.
    """
    if chunk == 0 or chunk >= count:
        # The shared part doesn't depend on i: it is computed once.
        return jax.vmap(sweep, out_axes=(None, 0))(jnp.arange(count))
    # The last chunk repeats the last index, so that all chunks run one program.
    rows = -(-count // chunk)
    indices = jnp.minimum(jnp.arange(rows * chunk), count - 1).reshape(rows, chunk)
    stacked = lax.map(jax.vmap(lambda i: sweep(i)[1]), indices)
    flat = jax.tree.map(lambda x: x.reshape(rows * chunk, *x.shape[2:])[:count], stacked)
    return sweep(jnp.asarray(0))[0], flat


def sum_sweeps(sweep: Sweep, count: int, chunk: int) -> tuple[Any, Any]:
    """As ``stack_sweeps``, but sums the rows; no more than ``chunk`` are alive (0: all)."""
    if chunk == 0 or chunk >= count:
        shared, stacked = stack_sweeps(sweep, count, 0)
        return shared, jax.tree.map(lambda x: x.sum(0), stacked)
    rows = -(-count // chunk)
    indices = jnp.arange(rows * chunk).reshape(rows, chunk)

    def partial_sum(row: jax.Array) -> Any:
        def sum_real(x: jax.Array) -> jax.Array:
            real = (row < count).reshape(chunk, *[1] * (x.ndim - 1))
            return jnp.where(real, x, jnp.zeros_like(x)).sum(0)

        # What is cut off repeats the last index: it is as finite as that.
        terms = jax.vmap(lambda i: sweep(i)[1])(jnp.minimum(row, count - 1))
        return jax.tree.map(sum_real, terms)

    sums = jax.tree.map(lambda x: x.sum(0), lax.map(partial_sum, indices))
    return sweep(jnp.asarray(0))[0], sums


def split_columns(stacked: jax.Array, types: Sequence[TensorType]) -> list[jax.Array]:
    """Turns ``(n, *out)``, one row for each input element, into ``(*out, *in)`` per leaf."""
    columns = jnp.moveaxis(stacked, 0, -1)
    offsets = [0]
    for tensor_type in types:
        offsets.append(offsets[-1] + tensor_type.size)
    return [
        columns[..., first:last].reshape(*columns.shape[:-1], *tensor_type.shape)
        for tensor_type, first, last in zip(types, offsets[:-1], offsets[1:], strict=True)
    ]
