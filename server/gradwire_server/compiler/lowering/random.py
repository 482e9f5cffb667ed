"""The random family in JAX: Threefry's words are JAX's, numbers are made from them here.

So the numbers are those that the table's family defines, whatever JAX's flags
and however its own distributions change.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering


def _wrapped(key: jax.Array) -> jax.Array:
    wrapped: jax.Array = jax.random.wrap_key_data(key, impl="threefry2x32")
    return wrapped


def _words(key: jax.Array, shape: Sequence[int], dtype: jnp.dtype) -> jax.Array:
    # The layout of the counters is a flag of JAX; this is the one that is defined.
    with jax.threefry_partitionable(True):
        words: jax.Array = jax.random.bits(_wrapped(key), tuple(shape), dtype)
    return words


def _key(seed: jax.Array) -> jax.Array:
    return jnp.stack([jnp.zeros_like(seed), seed])


def _split(key: jax.Array, *, num: int) -> jax.Array:
    with jax.threefry_partitionable(True):
        return jax.random.key_data(jax.random.split(_wrapped(key), num))


def _bits(key: jax.Array, *, shape: Sequence[int]) -> jax.Array:
    return _words(key, shape, jnp.uint32)


def _mantissa_bits(dtype: jnp.dtype) -> int:
    return {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}[dtype.name]


def _mantissas(key: jax.Array, dtype: jnp.dtype, shape: Sequence[int]) -> jax.Array:
    """Returns the highest bits of the words, as many as a mantissa of ``dtype`` has."""
    word = jnp.dtype(jnp.uint64 if dtype == jnp.float64 else jnp.uint32)
    unused = 8 * word.itemsize - _mantissa_bits(dtype)
    return lax.shift_right_logical(_words(key, shape, word), word.type(unused))


def _uniform(key: jax.Array, *, dtype: jnp.dtype, shape: Sequence[int]) -> jax.Array:
    step = jnp.asarray(2.0 ** -_mantissa_bits(dtype), dtype)
    return _mantissas(key, dtype, shape).astype(dtype) * step


def _normal(key: jax.Array, *, dtype: jnp.dtype, shape: Sequence[int]) -> jax.Array:
    if jnp.dtype(dtype).itemsize < 4:
        return _normal(key, dtype=jnp.dtype(jnp.float32), shape=shape).astype(dtype)
    # An odd number of steps of 2⁻ᵖ from −1: exact, symmetric, and never an end.
    odd = 2 * _mantissas(key, dtype, shape) + 1
    p = _mantissa_bits(dtype)
    signed = odd.astype(jnp.int64 if dtype == jnp.float64 else jnp.int32) - 2**p
    centred = signed.astype(dtype) * jnp.asarray(2.0**-p, dtype)
    return lax.erf_inv(centred) * jnp.asarray(2.0**0.5, dtype)


def _bernoulli(key: jax.Array, p: jax.Array, *, shape: Sequence[int]) -> jax.Array:
    return _uniform(key, dtype=p.dtype, shape=shape) < p


LOWERINGS: dict[str, Lowering] = {
    "random.bernoulli": _bernoulli,
    "random.bits": _bits,
    "random.key": _key,
    "random.normal": _normal,
    "random.split": _split,
    "random.uniform": _uniform,
}
