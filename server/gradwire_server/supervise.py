"""The command `gradwire-server` as its users start it: a supervisor, and a server below it.

It must not import JAX.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gradwire_server.config.machine import default_cache_dir, own_folder
from gradwire_server.config.settings import AUTO, OFF, Settings
from gradwire_server.process.background_log import BackgroundLog
from gradwire_server.process.quarantine import Quarantine
from gradwire_server.process.run_journal import RunJournal, create_journal, open_journal
from gradwire_server.process.supervision import Supervision, write_supervision
from gradwire_server.process.supervisor import Addresses, Command, Supervisor

PREDECESSOR_VARIABLE = "GRADWIRE_PREDECESSOR"


def supervise(settings: Settings, arguments: Sequence[str], stop_seconds: float) -> int:
    """Keeps a server running until a signal ends it; returns the exit status.

    Args:
        settings: How it is to run.
        arguments: The same as flags.
        stop_seconds: After how long a server that was told to end is killed.
    """
    log = BackgroundLog(logging.getLogger(__name__))
    quarantine = open_quarantine(settings, log)
    servers = _Servers(settings, arguments, create_journal(settings.max_noted), quarantine)
    status = Supervisor(servers, stop_seconds, log).run()
    if not log.wait():
        # The log is not read. The thread that writes to it holds a lock, for which the
        # interpreter would wait at its end.
        os._exit(status)
    return status


def succeed(settings: Settings) -> Supervision | None:
    """Returns what a private server has to know of the one before it, which had no supervisor.

    Its client hands over the journal and the exit code in one variable of the environment,
    which is removed from it.

    Returns:
        The same as a supervisor would say; None if there is no client that does.
    """
    text = os.environ.pop(PREDECESSOR_VARIABLE, None)
    if text is None:
        return None
    values = json.loads(text)
    quarantine = open_quarantine(settings, BackgroundLog(logging.getLogger(__name__)))
    journal = open_journal(values["journal"], settings.max_noted)
    if values["exit"] is not None:
        quarantine.note_death(values["exit"], [run.plan_id for run in journal.read()], [])
    return _begin(journal, quarantine)


def _begin(journal: RunJournal, quarantine: Quarantine, restarts: int = 0) -> Supervision:
    """Clears the journal for another server; returns what that has to know."""
    journal.clear()
    quarantined, file = quarantine.plans(), quarantine.file
    return Supervision(
        journal.descriptor,
        restarts,
        quarantine.suspects,
        quarantined,
        None if file is None else str(file),
    )


def open_quarantine(settings: Settings, log: BackgroundLog) -> Quarantine:
    """Returns the quarantine that servers with the same cache directory share."""
    folder = None
    if settings.cache_dir == AUTO:
        with contextlib.suppress(RuntimeError):  # this user may have no home
            folder = default_cache_dir()
    elif settings.cache_dir != OFF:
        folder = own_folder(Path(settings.cache_dir))
    beside = None if folder is None else folder.with_name("quarantine")
    return Quarantine(beside, settings.quarantine_seconds, log)


class _Servers:
    """What a supervisor has to know of the servers that it starts, one after the other."""

    def __init__(
        self,
        settings: Settings,
        arguments: Sequence[str],
        journal: RunJournal,
        quarantine: Quarantine,
    ) -> None:
        self._settings = settings
        self._arguments = arguments
        self._journal = journal
        self._quarantine = quarantine
        self._overstaying: list[str] = []

    def command(self, addresses: Addresses | None, restarts: int) -> Command:
        """Returns the command of the next server."""
        supervision = _begin(self._journal, self._quarantine, restarts)
        warnings = [f"-W{option}" for option in sys.warnoptions]
        words = [sys.executable, "-P", *warnings, "-m", "gradwire_server", *self._arguments]
        # The journal has so many places, whatever number of cores there is later.
        words += ["--max-executions", str(self._settings.max_executions)]
        if addresses is not None:  # a free port was chosen once, and stays
            words += ["--listen", addresses.listening]
            if addresses.metrics:
                words += ["--metrics", addresses.metrics.partition("//")[2].rstrip("/")]
        environment = {**os.environ, **write_supervision(supervision)}
        return Command(words, environment, (self._journal.descriptor,))

    def overstay(self) -> str:
        """Says which run has gone on for too long; empty if none has."""
        latest = time.monotonic() - self._settings.max_run_seconds
        self._overstaying = [run.plan_id for run in self._journal.read() if run.started < latest]
        if not self._overstaying:
            return ""
        plans = ", ".join(dict.fromkeys(self._overstaying))
        return f"`max_run_seconds` is {self._settings.max_run_seconds:g}, and runs of {plans} go on"

    def note_death(self, code: int) -> bool:
        """Finds suspects, or a plan to quarantine; returns whether it has found that."""
        running = [run.plan_id for run in self._journal.read()]
        found = self._quarantine.note_death(code, running, self._overstaying)
        self._overstaying = []
        return found
