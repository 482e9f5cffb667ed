"""Describes the machine of a measurement, and its sharing, as text and as JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path


def available_cores() -> frozenset[int]:
    """Returns the cores that this process may run on."""
    return frozenset(os.sched_getaffinity(0))


def split_cores(cores: frozenset[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Divides cores between a server and its generators; of one core both get it."""
    ordered = sorted(cores)
    half = len(ordered) // 2
    if not half:
        return cores, cores
    return frozenset(ordered[:half]), frozenset(ordered[half:])


def describe_machine() -> dict[str, str | int | float]:
    """Returns processor, cores, versions, and what else the machine was doing."""
    versions = {
        name: importlib.metadata.version(name) for name in ("gradwire", "grpcio", "jax", "numpy")
    }
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions,
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
