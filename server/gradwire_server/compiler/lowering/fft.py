"""The Fourier family in JAX."""

from __future__ import annotations

import jax.numpy as jnp

from gradwire_server.compiler.lowering.core import Lowering

LOWERINGS: dict[str, Lowering] = {
    "fft.fft": jnp.fft.fft,
    "fft.fftn": jnp.fft.fftn,
    "fft.ifft": jnp.fft.ifft,
    "fft.ifftn": jnp.fft.ifftn,
    "fft.irfft": jnp.fft.irfft,
    "fft.irfftn": jnp.fft.irfftn,
    "fft.rfft": jnp.fft.rfft,
    "fft.rfftn": jnp.fft.rfftn,
}
