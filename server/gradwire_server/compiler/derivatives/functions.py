"""Operators that run functions without differentiating them."""

from __future__ import annotations

import jax
from jax import lax

from gradwire_server.compiler.lowering.core import JaxFunction, Lowering


def _call(f: JaxFunction, *operands: jax.Array) -> list[jax.Array]:
    return f(*operands)


def _checkpoint(f: JaxFunction, *operands: jax.Array) -> list[jax.Array]:
    results: list[jax.Array] = jax.checkpoint(f)(*operands)
    return results


def _vmap(f: JaxFunction, *operands: jax.Array, mapped: tuple[int, ...]) -> list[jax.Array]:
    return jax.vmap(f, in_axes=[0 if flag else None for flag in mapped])(*operands)


LOWERINGS: dict[str, Lowering] = {
    "call": _call,
    "checkpoint": _checkpoint,
    "stop_gradient": lax.stop_gradient,
    "vmap": _vmap,
}
