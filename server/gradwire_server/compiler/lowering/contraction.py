"""Products of arrays in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradwire.opset.labels import contraction_path, label_lengths, parse_subscripts
from gradwire_server.compiler.lowering.core import Lowering


def _einsum(*arrays: jax.Array, subscripts: str) -> jax.Array:
    """Contracts along the table's own path, so that its bound on intermediates holds."""
    terms, out = parse_subscripts(subscripts, [x.ndim for x in arrays])
    lengths = label_lengths(terms, [x.shape for x in arrays])
    left = list(arrays)
    for step in contraction_path(terms, out, arrays[0].dtype, lengths):
        result = jnp.einsum(step.subscripts, *[left[place] for place in step.operands])
        left = [x for place, x in enumerate(left) if place not in step.operands] + [result]
    return left[0]


def _tensordot(
    x: jax.Array, y: jax.Array, *, x_axes: tuple[int, ...], y_axes: tuple[int, ...]
) -> jax.Array:
    return jnp.tensordot(x, y, axes=(x_axes, y_axes))


LOWERINGS: dict[str, Lowering] = {
    "cross": jnp.linalg.cross,
    "einsum": _einsum,
    "kron": jnp.kron,
    "matmul": jnp.matmul,
    "outer": jnp.outer,
    "tensordot": _tensordot,
    "vecdot": jnp.vecdot,
}
