"""Which plans a server is running or loading, in memory that it shares with its supervisor.

It can be read after the server was killed. Standard library only.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from dataclasses import dataclass

_START_BYTES = 8
_ID_BYTES = 32
_NO_PLACE = -1


@dataclass(frozen=True, slots=True)
class Running:
    """A run in the journal: since when on the clock of ``time.monotonic``, and of which plan."""

    started: float
    plan_id: str


class RunJournal:
    """A fixed number of places for runs, and for loads, which are noted alike.

    The file holds the start of each run, 0 for a free place, and then the plan ids. A run
    is noted before it begins, and removed when it has ended.

    Attributes:
        descriptor: The file, for a child process to inherit.
    """

    def __init__(self, descriptor: int, slots: int) -> None:
        """Maps a journal that another process has made; see ``create_journal``."""
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, slots * (_START_BYTES + _ID_BYTES))
        view = memoryview(self._memory)
        # An aligned element is read and written at once. A start of which half is written
        # would look like one of long ago, and the server would be killed for it.
        self._starts = view[: slots * _START_BYTES].cast("d")
        self._ids = view[slots * _START_BYTES :]
        self._free = list(range(slots))
        self._is_frozen = False

    def enter(self, plan_id: str) -> int:
        """Notes a run that begins; returns its place. Thread-safe."""
        if self._is_frozen:
            return _NO_PLACE
        place = self._free.pop()
        self._ids[self._at(place)] = plan_id.encode()[:_ID_BYTES].ljust(_ID_BYTES, b"\0")
        self._starts[place] = time.monotonic()
        return place

    def leave(self, place: int) -> None:
        """Removes a run that has ended. Thread-safe."""
        if self._is_frozen:
            return
        self._starts[place] = 0.0
        self._free.append(place)

    def read(self) -> list[Running]:
        """Returns the runs that go on, or did when the server died."""
        found = []
        for place, started in enumerate(self._starts):
            plan_id = bytes(self._ids[self._at(place)]).rstrip(b"\0").decode("ascii", "replace")
            if started and self._starts[place] == started:  # else it has just ended
                found.append(Running(started, plan_id))
        return found

    def freeze(self) -> None:
        """Keeps it as it is, for the supervisor to see what ran when this server failed."""
        self._is_frozen = True

    def clear(self) -> None:
        """Removes all runs, before another server uses it."""
        self._memory[:] = bytes(len(self._memory))

    def close(self) -> None:
        """Closes the memory and the file."""
        self._starts.release()
        self._ids.release()
        self._memory.close()
        os.close(self.descriptor)

    def _at(self, place: int) -> slice:
        return slice(place * _ID_BYTES, (place + 1) * _ID_BYTES)


def create_journal(slots: int) -> RunJournal:
    """Makes an empty journal."""
    if hasattr(os, "memfd_create"):  # no disk that is full, and none that is read-only
        descriptor = os.memfd_create("gradwire-runs")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    return open_journal(descriptor, slots)


def open_journal(descriptor: int, slots: int) -> RunJournal:
    """Opens a journal that an earlier server may have used; one that is too short is empty."""
    length = slots * (_START_BYTES + _ID_BYTES)
    if os.fstat(descriptor).st_size < length:
        os.ftruncate(descriptor, 0)
        os.ftruncate(descriptor, length)
    return RunJournal(descriptor, slots)
