"""Tells observers of finished calls, in a thread of its own, off the path of the replies."""

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

_PATIENCE_SECONDS = 1.0
"""An observer may be stuck for ever, as when nobody reads the log."""

Observer = Callable[[Sequence[CallRecord]], None]


class CallRecorder:
    """A bounded list of records that nobody has been told of yet.

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
        """The number of records that nobody has been told of."""
        return len(self._records)

    @property
    def dropped(self) -> int:
        """The number of records that nobody will be told of."""
        return self._dropped

    def add_observers(self, *observers: Observer) -> None:
        """Tells these as well, after those that there are, of what ends from now on."""
        self._observers = (*self._observers, *observers)

    def add(self, record: CallRecord) -> None:
        """Takes a record.

        If the thread falls behind, it is hurried; if it is stuck, records are
        dropped. The thread that calls this never does its work: it could be stuck,
        too, and may be the one that takes calls in.
        """
        waiting = len(self._records)
        if waiting >= _TOO_MANY:
            self._dropped += 1  # threads may miscount; it is above 0, which matters
            return
        self._records.append(record)
        if waiting >= _MANY:
            self._wanted.set()

    def flush(self, timeout: float = _PATIENCE_SECONDS) -> bool:
        """Has everything told that was added before, and waits for it.

        Args:
            timeout: Seconds to wait for at most.

        Returns:
            Whether it has been told.
        """
        with self._rounds:
            goal = self._begun + 1  # one that has begun may have missed the last records
            self._wanted.set()
            return self._rounds.wait_for(lambda: self._done >= goal, timeout)

    def stop(self, timeout: float = _PATIENCE_SECONDS) -> None:
        """Tells of the rest, and ends the thread.

        Args:
            timeout: Seconds after which a thread that is stuck is left behind.
        """
        self._stopping = True
        self._wanted.set()
        self._thread.join(timeout)

    def _work(self) -> None:
        stopping = False
        while not stopping:
            self._wanted.wait(_PERIOD_SECONDS)
            self._wanted.clear()
            stopping = self._stopping  # seen before the last round, which tells of the rest
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
            except Exception:  # noqa: BLE001 - calls must not suffer for it
                _log.exception("an observer of calls failed")
