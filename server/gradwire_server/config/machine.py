"""What settings default to on this machine: its cores, its folders, its name."""

from __future__ import annotations

import math
import os
import secrets
import socket
from pathlib import Path


def own_folder(cache_dir: Path) -> Path:
    """Returns the folder below ``cache_dir`` that is the server's alone.

    ``cache_dir`` may be the root of a volume, which belongs to root, and to a
    group with write permission, where Kubernetes mounts it for another user.
    """
    return cache_dir.expanduser() / "executables"


def default_cache_dir() -> Path:
    """Returns where compiled programs are kept unless a setting says otherwise.

    Raises:
        RuntimeError: this user has no home directory.
    """
    root = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(root) if os.path.isabs(root) else Path.home() / ".cache"
    return own_folder(base / "gradwire")


def available_cores() -> int:
    """Returns how many cores this process may use at the same time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):  # not a container, or one without such a bound
        quota, period = "max", "1"
    share = math.ceil(int(quota) / int(period)) if quota.isdigit() else cores
    return max(min(cores or 1, share or 1), 1)


def default_executions() -> int:
    """Returns one for each core, up to 8."""
    return min(available_cores(), 8)


def default_replica_id() -> str:
    """Returns the host's name and a few random digits."""
    return f"{socket.gethostname()[:64]}-{secrets.token_hex(3)}"
