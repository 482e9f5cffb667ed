"""The nn family in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from gradwire_server.compiler.lowering import windows
from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise import activations


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
    "nn.resize": _resize,
    **activations.LOWERINGS,
    **windows.LOWERINGS,
}
