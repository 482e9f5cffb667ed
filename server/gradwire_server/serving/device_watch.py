"""Finds out whether the device is lost, when something on it has failed. It must not import JAX.

An illegal address in a CUDA kernel ends the work of the whole process: whatever comes
after it fails with the same error, whose program is not to blame.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gradwire.errors import UnavailableError
from gradwire_server.process.background_log import BackgroundLog
from gradwire_server.process.run_journal import RunJournal


class DeviceWatch:
    """The device of one server.

    Attributes:
        is_lost: Whether it has been found not to compute any more.
    """

    def __init__(
        self,
        works: Callable[[], bool],
        end: Callable[[], None],
        journal: RunJournal | None = None,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            works: Computes something, and returns whether that was right.
            end: Called once, when the device is lost. It must be quick.
            journal: Keeps what runs at that moment.
        """
        self.is_lost = False
        self._works = works
        self._end = end
        self._journal = journal
        self._lock = threading.Lock()
        self._log = BackgroundLog(logging.getLogger(__name__))

    def check(self, error: Exception) -> None:
        """Looks whether the device is lost, after an error that a call is not to blame for.

        To be called while the run that failed is still in the journal. Thread-safe.

        Raises:
            UnavailableError: it is, so another server has to be asked.
        """
        with self._lock:
            if not self.is_lost and self._works():
                return
            if not self.is_lost:
                self.is_lost = True
                if self._journal is not None:
                    self._journal.freeze()
                self._end()
                self._log.write(
                    logging.CRITICAL,
                    "the device computes nothing any more: this server ends, for only another "
                    "process can use it",
                    error=error,
                )
        raise UnavailableError("the server has lost its device, and ends") from error
