"""Passes finished calls to observers, in a thread of its own, after the replies."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from gradwire_server.serving.call_record import CallRecord

_log = logging.getLogger(__name__)

_PERIOD_SECONDS = 0.1
_MANY = 4096
_TOO_MANY = 16 * _MANY

_TIMEOUT_SECONDS = 1.0
"""An observer may block for ever, such as when stderr isn't read."""

Observer = Callable[[Sequence[CallRecord]], None]


class CallRecorder:
    """A bounded list of records that the observers have not processed yet.

    Counting and logging a call takes a quarter of the time of a small one, so
    the reply doesn't wait for it.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._records: deque[CallRecord] = deque()
        self._dropped = 0
        self._stopping = False
        self._wanted = threading.Event()
        self._rounds = threading.Condition()
        self._begun = self._done = 0  # rounds of the thread
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of records that wait for the observers."""
        return len(self._records)

    @property
    def dropped(self) -> int:
        """The number of records that were dropped."""
        return self._dropped

    def add_observers(self, *observers: Observer) -> None:
        """Adds observers after the present ones; they get the calls that end from now on."""
        self._observers = (*self._observers, *observers)

    def add(self, record: CallRecord) -> None:
        """Adds a record.

        If the recorder's thread falls behind, it is woken early; if it is stuck,
        records are dropped. The calling thread never runs observers: it would
        block as well, and may be the one that accepts calls.
        """
        waiting = len(self._records)
        if waiting >= _TOO_MANY:
            self._dropped += 1  # threads may miscount; it is above 0, which matters
            return
        self._records.append(record)
        if waiting >= _MANY:
            self._wanted.set()

    def flush(self, timeout: float = _TIMEOUT_SECONDS) -> bool:
        """Waits until the observers have processed everything added before.

        Args:
            timeout: Seconds to wait for at most.

        Returns:
            Whether they have.
        """
        with self._rounds:
            goal = self._begun + 1  # one that has begun may have missed the last records
            self._wanted.set()
            return self._rounds.wait_for(lambda: self._done >= goal, timeout)

    def stop(self, timeout: float = _TIMEOUT_SECONDS) -> None:
        """Passes the rest to the observers, and ends the thread.

        Args:
            timeout: Seconds after which a thread that is stuck is abandoned.
        """
        self._stopping = True
        self._wanted.set()
        self._thread.join(timeout)

    def _work(self) -> None:
        stopping = False
        while not stopping:
            self._wanted.wait(_PERIOD_SECONDS)
            self._wanted.clear()
            stopping = self._stopping  # read before the last round, which processes the rest
            with self._rounds:
                self._begun += 1
            self._tell()
            with self._rounds:
                self._done += 1
                self._rounds.notify_all()

    def _tell(self) -> None:
        records = [self._records.popleft() for _ in range(len(self._records))]
        if not records:
            return
        for observer in self._observers:
            try:
                observer(records)
            except Exception:  # noqa: BLE001 - calls must not fail because of it
                _log.exception("an observer of calls failed")
