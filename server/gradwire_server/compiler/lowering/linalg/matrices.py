"""Products and adjoints of matrices, for what is computed from factorisations."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
"""A matrix product that isn't rounded to TF32: results must reach epsilon."""


def adjoint(x: jax.Array) -> jax.Array:
    """Returns xᴴ."""
    return jnp.conj(x.mT)
