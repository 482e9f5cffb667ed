"""How JAX is set up in a process that compiles or runs programs."""

from __future__ import annotations

import functools
import os

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np

from gradwire.errors import OutOfMemoryError
from gradwire_server.start_error import StartError

_REDUCE_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
_WRONG_REDUCTIONS = ((0, 10, 2), (0, 12))
"""The first jaxlib that sums rows wrongly on the CPU (jax issue 39103), and the first
that this server wasn't tested with. XLA aborts on unknown flags, so the flag is set
only for versions that are known to have it: 0.10.2, 0.11.0, 0.11.1 and 0.11.2."""


class DeviceError(StartError):
    """JAX finds no device, or not the one asked for."""


@functools.cache
def set_up_jax() -> None:
    """Sets what must be set once in a process, before the first computation.

    Without x64, float64 is silently narrowed. Asynchronous dispatch makes a
    small call on the CPU take four times as long. JAX's own compile cache is off,
    since executables are kept by ``runtime.store``.

    Raises:
        DeviceError: there is no device.
    """
    first, end = _WRONG_REDUCTIONS
    flags = os.environ.get("XLA_FLAGS", "")
    if first <= jaxlib.version.__version_info__ < end and _REDUCE_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_REDUCE_FLAG}=-reduce".strip()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        jax.local_devices()
    except Exception as error:
        told = os.environ.get("JAX_PLATFORMS", "")
        raise DeviceError(
            f"JAX must find a device; got none, with JAX_PLATFORMS={told!r} {error}".rstrip()
        ) from error
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves out the CPU, and so its LAPACK
        return
    # An executable that calls LAPACK crashes the process if it is loaded
    # before anything that uses LAPACK was lowered: that registers the kernels.
    with jax.default_device(cpu):
        jax.jit(jnp.linalg.cholesky).lower(jax.ShapeDtypeStruct((2, 2), np.float32))


def translated(error: Exception, doing: str) -> Exception:
    """Returns our error for one of JAX's runtime, whose text starts with its kind."""
    if str(error).startswith("RESOURCE_EXHAUSTED"):
        return OutOfMemoryError(f"{doing} the program needs more memory than the device has")
    return error
