"""The creation family in JAX."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering


def _eye(*, dtype: jnp.dtype, n_rows: int, n_cols: int, k: int) -> jax.Array:
    # Diagonals outside the matrix are empty, however far.
    k = min(max(k, -n_rows), n_cols)
    return jnp.eye(n_rows, n_cols, k, dtype)


def _full(value: jax.Array, *, shape: Sequence[int]) -> jax.Array:
    return jnp.broadcast_to(value, shape)


def _iota(*, dtype: jnp.dtype, shape: Sequence[int], axis: int) -> jax.Array:
    return lax.broadcasted_iota(dtype, shape, axis % len(shape))


def _linspace(start: jax.Array, stop: jax.Array, *, num: int, endpoint: bool) -> jax.Array:
    return jnp.linspace(start, stop, num, endpoint=endpoint, dtype=start.dtype)


LOWERINGS: dict[str, Lowering] = {
    "eye": _eye,
    "full": _full,
    "iota": _iota,
    "linspace": _linspace,
}
