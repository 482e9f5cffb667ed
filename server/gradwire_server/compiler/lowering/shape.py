"""The shape family in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradwire_server.compiler.lowering.core import Lowering


def _concat(*arrays: jax.Array, axis: int) -> jax.Array:
    return jnp.concat(arrays, axis=axis)


def _diag(x: jax.Array, *, k: int) -> jax.Array:
    size = x.shape[-1] + abs(k)
    rows = jnp.arange(x.shape[-1]) + max(-k, 0)
    matrix = jnp.zeros((*x.shape[:-1], size, size), x.dtype)
    return matrix.at[..., rows, rows + k].set(x, unique_indices=True)


def _pad(x: jax.Array, *value: jax.Array, pad_width: tuple[int, ...], mode: str) -> jax.Array:
    pairs = list(zip(pad_width[::2], pad_width[1::2], strict=True))
    if value:
        return jnp.pad(x, pairs, mode="constant", constant_values=value[0])
    return jnp.pad(x, pairs, mode=mode)


def _permute_dims(x: jax.Array, *, axes: tuple[int, ...]) -> jax.Array:
    return jnp.transpose(x, axes)  # jnp.permute_dims refuses negative axes


def _split(x: jax.Array, *, axis: int, indices: tuple[int, ...]) -> list[jax.Array]:
    return jnp.split(x, list(indices), axis=axis)


def _stack(*arrays: jax.Array, axis: int) -> jax.Array:
    return jnp.stack(arrays, axis=axis)


def _tile(x: jax.Array, *, repetitions: tuple[int, ...]) -> jax.Array:
    return jnp.tile(x, repetitions)


LOWERINGS: dict[str, Lowering] = {
    "broadcast_to": jnp.broadcast_to,
    "concat": _concat,
    "diag": _diag,
    "expand_dims": jnp.expand_dims,
    "flip": jnp.flip,
    "matrix_transpose": jnp.matrix_transpose,
    "pad": _pad,
    "permute_dims": _permute_dims,
    "repeat": jnp.repeat,
    "reshape": jnp.reshape,
    "roll": jnp.roll,
    "split": _split,
    "squeeze": jnp.squeeze,
    "stack": _stack,
    "tile": _tile,
    "tril": jnp.tril,
    "triu": jnp.triu,
    "unstack": jnp.unstack,
}
