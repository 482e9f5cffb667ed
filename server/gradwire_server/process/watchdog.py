"""One thread for periodic checks. It must not import the server's other parts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gradwire_server.process.background_log import BackgroundLog


@dataclass(eq=False, slots=True)
class _Check:
    period: float
    check: Callable[[], object]
    due_at: float


class Watchdog:
    """Calls functions again and again, each in its own period, all from one daemon thread.

    They must be quick and must not block, not even on the log, since they delay all
    others. If one raises, that is logged, and it is called again in its next period.
    """

    def __init__(self) -> None:
        """Makes a watchdog whose thread isn't started yet."""
        self._log = BackgroundLog(logging.getLogger(__name__))
        self._changed = threading.Condition()
        self._checks: list[_Check] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="watchdog", daemon=True)

    def every(self, seconds: float, check: Callable[[], object]) -> None:
        """Adds a function to call in each period, from ``start`` on; allowed after it as well."""
        with self._changed:
            self._checks.append(_Check(seconds, check, time.monotonic() + seconds))
            self._changed.notify_all()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Makes no more calls, and waits for one in progress.

        Must not be called by a function that it calls.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while (due := self._wait_for_due()) is not None:
            for check in due:
                try:
                    check.check()
                except Exception as error:  # noqa: BLE001 - the other checks must go on
                    self._log.write(logging.ERROR, "a check of the watchdog failed", error=error)
                check.due_at = time.monotonic() + check.period

    def _wait_for_due(self) -> list[_Check] | None:
        """Waits until there is something to call; returns None at the end."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                due = [check for check in self._checks if check.due_at <= now]
                if due:
                    return due
                next_at = min((check.due_at for check in self._checks), default=None)
                self._changed.wait(None if next_at is None else next_at - now)
            return None
