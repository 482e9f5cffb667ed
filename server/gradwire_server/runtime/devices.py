"""The devices that the server computes on, and the names of their environment."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import jax
import jaxlib.version
import numpy as np

import gradwire.ir
import gradwire_server
from gradwire.errors import OutOfMemoryError
from gradwire.opset import OPSET_VERSION
from gradwire_server.config.settings import ANY
from gradwire_server.jax_setup import DeviceError, set_up_jax, translated
from gradwire_server.runtime import host_memory


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One device.

    Attributes:
        id: Its number.
        platform: Such as ``cpu`` or ``gpu``.
        kind: The manufacturer's name for it.
        memory_bytes: What JAX may use of its memory; 0 if unknown.
        used_bytes: What is in use now; 0 if unknown.
    """

    id: int
    platform: str
    kind: str
    memory_bytes: int
    used_bytes: int


class DeviceProbe:
    """A small computation, compiled in advance, that fails on a device that is lost."""

    def __init__(self) -> None:
        """Compiles it.

        Raises:
            DeviceError: nothing can be compiled for the device.
        """
        set_up_jax()
        try:
            with jax.default_device(jax.local_devices()[0]):
                self._add_one = jax.jit(lambda x: x + 1).lower(np.float32(0)).compile()
        except jax.errors.JaxRuntimeError as error:
            raise DeviceError(f"the device must compile a sum; got {error}") from error

    def works(self) -> bool:
        """Returns whether the device computes; one that is full may."""
        try:
            return float(np.asarray(self._add_one(np.float32(1)))) == 2.0
        except Exception as error:  # noqa: BLE001 - whatever it is
            return isinstance(translated(error, "testing"), OutOfMemoryError)


def set_up_device(platform: str) -> DeviceInfo:
    """Has JAX find its devices; returns the first.

    Raises:
        DeviceError: there is none, or not of the platform asked for.
    """
    set_up_jax()
    device = list_devices()[0]
    if platform not in (ANY, device.platform):
        raise DeviceError(
            f"`platform` must be that of the device; got {platform!r}, and JAX has found "
            f"{device.platform!r} ({device.kind})"
        )
    return device


def list_devices() -> list[DeviceInfo]:
    """Returns the devices of this process."""
    return [_describe(device) for device in jax.local_devices()]


def libraries() -> dict[str, str]:
    """Returns the versions of the libraries that the server uses."""
    return {
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def server_version() -> str:
    """Returns the version of gradwire, or 0 in a tree that isn't installed."""
    try:
        return importlib.metadata.version("gradwire")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def describe_build() -> dict[str, str]:
    """Describes what computes: the versions, and the kind of the device."""
    device = list_devices()[0]
    return {
        "version": server_version(),
        **{name: version for name, version in libraries().items() if name != "numpy"},
        "platform": device.platform,
        "device_kind": device.kind,
    }


@functools.cache
def environment() -> str:
    """Names everything outside a program that can change its result.

    Versions alone would allow stale executables after an edit of the sources,
    so these are part of it too, as a hash.
    """
    set_up_jax()
    device = jax.local_devices()[0]
    parts = {
        "gradwire": server_version(),
        "sources": _hash_sources(),
        "opset": str(OPSET_VERSION),
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "backend": device.client.platform_version,
        "platform": device.platform,
        "kind": device.device_kind,
        "devices": str(jax.local_device_count()),
        "machine": platform.machine(),
        "cpu": _cpu_features(),
        "x64": str(jax.config.read("jax_enable_x64")),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }
    return "\n".join(f"{name}={value}" for name, value in sorted(parts.items()))


def _describe(device: jax.Device) -> DeviceInfo:
    stats = device.memory_stats() or {}
    memory = int(stats.get("bytes_limit", 0))
    if not memory and device.platform == "cpu":
        memory = host_memory.total_bytes()
    return DeviceInfo(
        device.id,
        device.platform,
        device.device_kind,
        memory,
        int(stats.get("bytes_in_use", 0)),
    )


def _hash_sources() -> str:
    """Hashes those sources of client and server that can change a result, and no others."""
    digest = hashlib.sha256()
    shared = Path(gradwire.ir.__file__).parent.parent
    server = Path(gradwire_server.__file__).parent
    parts = [server / "compiler", server / "program", shared / "ir", shared / "opset"]
    alone = [server / "artifact.py", server / "jax_setup.py", shared / "tensors.py"]
    for file in sorted([*alone, *(file for part in parts for file in part.rglob("*.py"))]):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _cpu_features() -> str:
    """Names the processor: an executable for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("flags", "Features", "model name", "CPU implementer", "CPU part")
    first = {line.partition(":")[0].strip(): line for line in reversed(lines)}
    text = "\n".join(first.get(name, "") for name in wanted)
    return hashlib.sha256(text.encode()).hexdigest()
