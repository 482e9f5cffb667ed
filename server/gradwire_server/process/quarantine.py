"""Which plans brought a server down. Standard library only.

A run can't be stopped and may end the process, with all that runs beside it. Every plan
that was running at a death is a suspect, and runs alone until one of its runs has ended
well. Only a plan that was alone, at a death that a program can cause, is quarantined.
The same file holds compiles that brought compilers down, as names that begin with their
plan's id and a slash: only the server knows of those.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from gradwire_server.process.background_log import BackgroundLog
from gradwire_server.process.exits import DEVICE_LOST
from gradwire_server.process.private_folder import PrivateFolder

CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
"""How a program can end a process. SIGKILL is not among them: an operator sends it, or the
system when memory runs short, whichever process took it."""

_MAX_ENTRIES = 1024
_MAX_REASON = 40
_LOOK_SECONDS = 1.0
_LOCK_SECONDS = 1.0
"""Who holds the file for longer hangs: then it is written all the same."""
_PART = "/"


class Entry(NamedTuple):
    """Until when a plan is refused, in seconds since 1970, and what it did."""

    until: float
    reason: str


class Quarantine:
    """The quarantined plans, in a file if there is a folder for it.

    Others may change the file: servers and supervisors with the same folder, and the
    command that lifts a plan. So it is read again before each use, and written by one at a
    time.

    Attributes:
        suspects: The plans that ran when the last server died.
        file: Where all of it is on disk; None if it isn't.
    """

    def __init__(self, folder: Path | None, seconds: float, log: BackgroundLog) -> None:
        """Reads nothing yet.

        Args:
            folder: Where it is, for this user alone; None to keep nothing on disk.
            seconds: For how long a plan is refused.
            log: Where plans that come in, and failures of the disk, are noted.
        """
        self.suspects: tuple[str, ...] = ()
        self._path = self.file = None if folder is None else folder / "plans.json"
        self._seconds = seconds
        self._log = log
        self._entries: dict[str, Entry] = {}

    def plans(self) -> dict[str, Entry]:
        """Returns the plans that are refused now."""
        self._read()
        return dict(self._entries)

    def note_death(self, code: int, running: Sequence[str], overstaying: Sequence[str]) -> bool:
        """Finds suspects, or a plan to quarantine, after the death of a server.

        Args:
            code: Its exit code, minus the signal that ended it.
            running: The plans that ran, or were loaded or compiled in its process.
            overstaying: Those for which it was killed.

        Returns:
            Whether a plan was quarantined for it.
        """
        suspects, self.suspects = self.suspects, ()
        plans = tuple(dict.fromkeys(running))
        if overstaying:
            for plan in dict.fromkeys(overstaying):
                self.add(plan, "max_run_seconds")
            return True
        if len(plans) == 1 and -code in CRASHES:
            self.add(plans[0], signal.Signals(-code).name)
            return True
        if code == DEVICE_LOST and len(plans) == 1 and plans[0] in suspects:
            # A device can fail by itself, so one such death convicts nobody.
            self.add(plans[0], "the device was lost, twice")
            return True
        if code < 0 or code == DEVICE_LOST:
            self.suspects = plans
        return False

    def add(self, plan: str, reason: str) -> None:
        """Quarantines a plan."""
        self._log.write(
            logging.ERROR, "the plan %s is quarantined for %g s: %s", plan, self._seconds, reason
        )
        if self._path is not None:
            with contextlib.suppress(OSError):  # writing will say so
                PrivateFolder(self._path.parent).make()
        with self._alone():
            self._read()
            self._entries[plan] = Entry(time.time() + self._seconds, reason[:_MAX_REASON])
            self._write()

    def lift(self, plan: str) -> bool:
        """Takes a plan out, and its compiles; returns whether any was in."""
        with self._alone():
            self._read()
            found = [n for n in self._entries if n == plan or n.startswith(plan + _PART)]
            for name in found:
                del self._entries[name]
            if found:
                self._write()
        return bool(found)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps others from changing the file, for the time of the block."""
        with contextlib.ExitStack() as stack:
            if self._path is not None:
                folder = PrivateFolder(self._path.parent)
                with contextlib.suppress(OSError):
                    stack.enter_context(folder.locked(_LOCK_SECONDS))
            yield

    def _read(self) -> None:
        """Takes over what the file holds, and drops what has expired."""
        if self._path is not None:
            # What could not be written is known here alone.
            unsaved = {} if self.file else self._entries
            try:
                self._entries = _load(self._path) | unsaved
            except (OSError, ValueError) as error:
                self._entries = unsaved
                self._log.write(
                    logging.WARNING, "the quarantine on disk can't be read, and is lost: %s", error
                )
        now = time.time()
        self._entries = {p: entry for p, entry in self._entries.items() if entry.until > now}

    def _write(self) -> None:
        kept = sorted(self._entries.items(), key=lambda item: item[1].until)[-_MAX_ENTRIES:]
        self._entries = dict(kept)
        if self._path is None:
            return
        folder = PrivateFolder(self._path.parent)
        try:
            folder.make()
            folder.write(self._path.name, json.dumps(self._entries).encode())
            self.file = self._path
        except OSError as error:
            self.file = None
            self._log.write(logging.WARNING, "the quarantine is not kept on disk: %s", error)


class QuarantinedPlans:
    """What a server refuses: what its supervisor names and what it adds, until it is lifted."""

    def __init__(
        self,
        entries: Mapping[str, Entry] = MappingProxyType({}),
        file: str | None = None,
        seconds: float = 600.0,
    ) -> None:
        """Refuses these plans.

        Args:
            entries: The plans.
            file: Where they are on disk. One that is no longer there has been lifted.
            seconds: For how long is refused what is added.
        """
        self._entries = dict(entries)
        self._path = None if file is None else Path(file)
        self._seconds = seconds
        log = BackgroundLog(logging.getLogger(__name__))
        self._added = Quarantine(None if file is None else Path(file).parent, seconds, log)
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()

    def __len__(self) -> int:
        """Returns how many plans are refused now, those left out of which only compiles are."""
        now = time.time()
        entries = list(self._entries.items())
        return sum(entry.until > now for name, entry in entries if _PART not in name)

    def add(self, name: str, reason: str) -> None:
        """Refuses a plan, or a compile of one, from now on. Thread-safe."""
        with self._lock:
            self._added.add(name, reason)
            self._entries[name] = Entry(time.time() + self._seconds, reason[:_MAX_REASON])
            while len(self._entries) > _MAX_ENTRIES:
                del self._entries[min(self._entries, key=lambda name: self._entries[name].until)]

    def find(self, plan: str) -> Entry | None:
        """Returns the entry of a plan that is refused now. Thread-safe.

        Only for one that was quarantined the file is read again, once a second at most.
        """
        if plan not in self._entries:
            return None
        with self._lock:
            self._look()
            entry = self._entries.get(plan)
        return entry if entry is not None and entry.until > time.time() else None

    def _look(self) -> None:
        now = time.monotonic()
        if self._path is None or now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            kept = _load(self._path)
        except (OSError, ValueError):
            return  # it says nothing of any plan
        if self._added.file is None:
            return  # it lacks what could not be written
        self._entries = {plan: entry for plan, entry in self._entries.items() if plan in kept}


def _load(path: Path) -> dict[str, Entry]:
    """Reads a file; one that is not there holds nothing.

    Raises:
        OSError: it can't be read, or may be another user's.
        ValueError: it holds something else.
    """
    try:
        entries = json.loads(PrivateFolder(path.parent).read(path.name))
        return {str(plan): Entry(float(until), str(why)) for plan, (until, why) in entries.items()}
    except FileNotFoundError:
        return {}
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no plans") from error
