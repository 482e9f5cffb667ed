"""Which plans brought a server down. Standard library only.

A run can't be stopped and may end the process, with all that runs beside it. Every plan
that was running at a death is a suspect, and runs alone until one of its runs has ended
well. Only a plan that was alone, at a death that a program can cause, is quarantined.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gradwire_server.process.background_log import BackgroundLog

_log = BackgroundLog(logging.getLogger(__name__))

CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
"""How a program can end a process. SIGKILL is not among them: an operator sends it, or the
system when memory runs short, whichever process took it."""

_MAX_ENTRIES = 1024


class Entry(NamedTuple):
    """Until when a plan is refused, in seconds since 1970, and what it did."""

    until: float
    reason: str


class Quarantine:
    """The quarantined plans, in a file if there is a folder for it.

    Attributes:
        suspects: The plans that ran when the last server died.
    """

    def __init__(self, folder: Path | None, seconds: float) -> None:
        """Reads the file.

        Args:
            folder: Where it is, for this user alone; None to keep nothing on disk.
            seconds: For how long a plan is refused.
        """
        self.suspects: tuple[str, ...] = ()
        self._path = None if folder is None else folder / "plans.json"
        self._seconds = seconds
        self._entries = _read(self._path)

    def plans(self) -> dict[str, Entry]:
        """Returns the plans that are refused now."""
        now = time.time()
        return {plan: entry for plan, entry in self._entries.items() if entry.until > now}

    def note_death(self, code: int, running: Sequence[str], overstaying: Sequence[str]) -> None:
        """Draws the conclusions from the death of a server.

        Args:
            code: Its exit code, minus the signal that ended it.
            running: The plans that ran.
            overstaying: Those for which it was killed.
        """
        self.suspects = ()
        plans = tuple(dict.fromkeys(running))
        if overstaying:
            for plan in dict.fromkeys(overstaying):
                self.add(plan, "max_run_seconds")
        elif len(plans) == 1 and -code in CRASHES:
            self.add(plans[0], signal.Signals(-code).name)
        elif code < 0:
            self.suspects = plans

    def add(self, plan: str, reason: str) -> None:
        """Quarantines a plan."""
        _log.write(
            logging.ERROR, "the plan %s is quarantined for %g s: %s", plan, self._seconds, reason
        )
        self._entries[plan] = Entry(time.time() + self._seconds, reason)
        self._write()

    def lift(self, plan: str) -> bool:
        """Takes a plan out; returns whether it was in."""
        found = self._entries.pop(plan, None) is not None
        self._write()
        return found

    def _write(self) -> None:
        kept = sorted(self._entries.items(), key=lambda item: item[1].until)[-_MAX_ENTRIES:]
        self._entries = dict(kept)
        if self._path is None:
            return
        draft = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_text(json.dumps(self._entries), encoding="utf-8")
            draft.replace(self._path)
        except OSError as error:
            _log.write(logging.WARNING, "the quarantine is not kept on disk: %s", error)


def _read(path: Path | None) -> dict[str, Entry]:
    if path is None:
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(plan): Entry(float(until), str(why)) for plan, (until, why) in entries.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.write(
            logging.WARNING, "the quarantine on disk can't be read and is forgotten: %s", error
        )
        return {}
