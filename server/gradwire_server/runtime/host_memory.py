"""The memory of the machine, or of the container that the process is in. Linux only."""

from __future__ import annotations

import functools
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


@functools.cache
def total_bytes() -> int:
    """Returns the memory that this process may use: the machine's, or its container's."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _number(CGROUP / "memory.max")
    return memory if limit is None else min(memory, limit)


def free_bytes() -> int | None:
    """Returns the memory that a run may take now; None where the system doesn't say.

    What the system keeps of files counts as free, since it gives that back.
    """
    machine = _field(MEMINFO, "MemAvailable:", 1024)
    limit, used = _number(CGROUP / "memory.max"), _number(CGROUP / "memory.current")
    if limit is None or used is None:
        return machine
    files = _field(CGROUP / "memory.stat", "inactive_file", 1) or 0
    container = max(limit - used + files, 0)
    return container if machine is None else min(machine, container)


def _number(path: Path) -> int | None:
    """Returns the number in a file; None if it holds a word, or can't be read."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _field(path: Path, name: str, unit: int) -> int | None:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdigit():
            return int(words[1]) * unit
    return None
