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

    A run is noted before it begins, and forgotten when it has ended.

    Attributes:
        descriptor: The file, for a child process to inherit.
    """

    def __init__(self, descriptor: int, slots: int) -> None:
        """Maps a journal that another process has made; see ``create_journal``."""
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, slots * _SLOT.size)
        self._free = list(range(slots))

    def enter(self, plan_id: str) -> int:
        """Notes a run that begins; returns its place. Thread-safe."""
        place = self._free.pop()
        _SLOT.pack_into(self._memory, place * _SLOT.size, time.monotonic(), plan_id.encode())
        return place

    def leave(self, place: int) -> None:
        """Forgets a run that has ended."""
        _SLOT.pack_into(self._memory, place * _SLOT.size, 0.0, b"")
        self._free.append(place)

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
