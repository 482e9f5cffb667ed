"""The nn family in JAX."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gradwire_server.lowering import windows
from gradwire_server.lowering.core import Lowering


def _elu(x: jax.Array, *, alpha: float) -> jax.Array:
    return jax.nn.elu(x, alpha)


def _leaky_relu(x: jax.Array, *, negative_slope: float) -> jax.Array:
    return jax.nn.leaky_relu(x, negative_slope)


def _attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array | None = None,
    *,
    scale: float,
    is_causal: bool,
) -> jax.Array:
    # Not jax.nn.dot_product_attention: it takes the softmax of doubles in float32.
    dtype = query.dtype
    wide = dtype if dtype.itemsize >= 4 else jnp.float32
    *lead, length, heads, features = query.shape
    source, groups = key.shape[-3:-1]
    grouped = query.reshape(*lead, length, groups, heads // groups, features)
    scores = scale * jnp.einsum(
        "...tkgh,...skh->...kgts", grouped, key, preferred_element_type=wide
    ).reshape(*lead, heads, length, source)
    seen = jnp.tri(length, source, dtype=bool) if is_causal else jnp.ones((), bool)
    if mask is not None:
        seen = seen & mask
    # A number, not -inf: a row without keys has no NaN, forward or in reverse.
    lowest = 0.5 * float(np.finfo(wide).min)
    weights = jnp.where(seen, jax.nn.softmax(jnp.where(seen, scores, lowest), axis=-1), 0)
    weights = weights.astype(dtype).reshape(*lead, groups, heads // groups, length, source)
    result = jnp.einsum("...kgts,...skh->...tkgh", weights, value)
    return result.reshape(*lead, length, heads, value.shape[-1])


def _softmax(x: jax.Array, *, axis: Sequence[int]) -> jax.Array:
    return jax.nn.softmax(x, tuple(axis))


def _log_softmax(x: jax.Array, *, axis: Sequence[int]) -> jax.Array:
    return jax.nn.log_softmax(x, tuple(axis))


def _resize(x: jax.Array, *, shape: tuple[int, ...], method: str) -> jax.Array:
    for axis, (old, new) in enumerate(zip(x.shape, shape, strict=True)):
        if old == new:
            continue
        place = (np.arange(new) + 0.5) * (old / new) - 0.5
        if method == "nearest":
            nearest = np.minimum(np.floor(place + 0.5).astype(np.int64), old - 1)
            x = jnp.take(x, nearest, axis=axis)
            continue
        place = np.clip(place, 0, old - 1)
        low = np.minimum(np.floor(place).astype(np.int64), max(old - 2, 0))
        part = jnp.asarray(place - low, x.dtype)
        part = jnp.expand_dims(part, tuple(range(1, x.ndim - axis)))
        below, above = (
            jnp.take(x, position, axis=axis) for position in (low, np.minimum(low + 1, old - 1))
        )
        x = (below * (1 - part) + above * part).astype(x.dtype)
    return x


LOWERINGS: dict[str, Lowering] = {
    "nn.dot_product_attention": _attention,
    "nn.elu": _elu,
    "nn.resize": _resize,
    "nn.gelu": jax.nn.gelu,
    "nn.leaky_relu": _leaky_relu,
    "nn.log_sigmoid": jax.nn.log_sigmoid,
    "nn.log_softmax": _log_softmax,
    "nn.mish": jax.nn.mish,
    "nn.relu": jax.nn.relu,
    "nn.selu": jax.nn.selu,
    "nn.silu": jax.nn.silu,
    "nn.softmax": _softmax,
    "nn.softplus": jax.nn.softplus,
    **windows.LOWERINGS,
}
