"""Which plans a server is running, in memory that it shares with its supervisor.

It is a file without a name that both have mapped, so it can be read after the server was
killed. Standard library only.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_SLOT = struct.Struct("<d32s")
"""When a run began, on the system's monotonic clock, or 0 for none; and the plan's id."""


@dataclass(frozen=True, slots=True)
class Running:
    """A run in the journal: since when on the clock of ``time.monotonic``, and of which plan."""

    started: float
    plan_id: str


class RunJournal:
    """A fixed number of places for runs.

    Attributes:
        descriptor: The file, for a child process to inherit.
    """

    def __init__(self, descriptor: int, slots: int) -> None:
        """Maps a journal that another process has made; see ``create_journal``."""
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, slots * _SLOT.size)
        self._free = list(range(slots))

    @contextmanager
    def running(self, plan_id: str) -> Iterator[None]:
        """Holds a run in the journal while it goes on. Thread-safe."""
        slot = self._free.pop()
        offset = slot * _SLOT.size
        _SLOT.pack_into(self._memory, offset, time.monotonic(), plan_id.encode())
        try:
            yield
        finally:
            _SLOT.pack_into(self._memory, offset, 0.0, b"")
            self._free.append(slot)

    def read(self) -> list[Running]:
        """Returns the runs that go on, or did when the server died."""
        return [
            Running(started, name.rstrip(b"\0").decode("ascii", "replace"))
            for started, name in _SLOT.iter_unpack(self._memory[:])
            if started
        ]

    def clear(self) -> None:
        """Forgets all runs, before another server uses it."""
        self._memory[:] = bytes(len(self._memory))

    def close(self) -> None:
        """Lets go of the memory and the file."""
        self._memory.close()
        os.close(self.descriptor)


def create_journal(slots: int) -> RunJournal:
    """Makes an empty journal."""
    with tempfile.TemporaryFile() as file:
        file.truncate(slots * _SLOT.size)
        return RunJournal(os.dup(file.fileno()), slots)
