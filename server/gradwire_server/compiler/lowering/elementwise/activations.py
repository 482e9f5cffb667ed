"""Activations of neural networks, elementwise, with values and derivatives right in both tails."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise.hyperbolic import expit, expm1, softplus, tanh

# The scale and alpha of Klambauer and others, Self-Normalizing Neural Networks, 2017.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _elu(x: jax.Array, *, alpha: float) -> jax.Array:
    above = x > 0
    return jnp.where(above, x, alpha * expm1(jnp.where(above, 0, x)))


def _selu(x: jax.Array) -> jax.Array:
    return _SELU_SCALE * _elu(x, alpha=_SELU_ALPHA)


def _gelu(x: jax.Array, *, approximate: bool) -> jax.Array:
    if not approximate:
        return x * lax.erfc(-x * math.sqrt(0.5)) * 0.5
    # (1 + tanh(u)) / 2 = expit(2u), which does not cancel. Past ±60 expit is 0 or
    # 1, and x³ could overflow.
    near = jnp.clip(x, -60, 60)
    u = math.sqrt(2 / math.pi) * (near + 0.044715 * near * near * near)
    return x * expit(2 * u)


def _leaky_relu(x: jax.Array, *, negative_slope: float) -> jax.Array:
    return jax.nn.leaky_relu(x, negative_slope)


def _log_sigmoid(x: jax.Array) -> jax.Array:
    return -softplus(-x)


def _mish(x: jax.Array) -> jax.Array:
    return x * tanh(softplus(x))


def _silu(x: jax.Array) -> jax.Array:
    return x * expit(x)


LOWERINGS: dict[str, Lowering] = {
    "nn.elu": _elu,
    "nn.gelu": _gelu,
    "nn.leaky_relu": _leaky_relu,
    "nn.log_sigmoid": _log_sigmoid,
    "nn.mish": _mish,
    "nn.relu": jax.nn.relu,
    "nn.selu": _selu,
    "nn.silu": _silu,
    "nn.softplus": softplus,
}
