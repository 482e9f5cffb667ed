"""Tells observers of finished calls, in a thread of its own, off the path of the replies."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from gradwire_server.record import CallRecord

_log = logging.getLogger(__name__)

_PERIOD_SECONDS = 0.1
_MANY = 4096
_TOO_MANY = 16 * _MANY

Observer = Callable[[Sequence[CallRecord]], None]


class Journal:
    """A bounded list of records that nobody has been told of yet.

    Counting and logging a call takes a quarter of the time of a small one, so
    the reply doesn't wait for it.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._records: deque[CallRecord] = deque()
        self._dropped = 0
        self._telling = threading.Lock()
        self._stopping = threading.Event()
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

    def add(self, record: CallRecord) -> None:
        """Takes a record.

        If the thread falls behind, the caller does its work. If even that is
        stuck, as when nobody reads the log, records are dropped: calls go on.
        """
        waiting = len(self._records)
        if waiting >= _TOO_MANY:
            self._dropped += 1  # threads may miscount; it is above 0, which matters
            return
        self._records.append(record)
        if waiting >= _MANY and self._telling.acquire(blocking=False):
            try:
                self._tell()
            finally:
                self._telling.release()

    def flush(self) -> None:
        """Tells of everything that was added before."""
        with self._telling:
            self._tell()

    def _tell(self) -> None:
        records = [self._records.popleft() for _ in range(len(self._records))]
        if not records:
            return
        for observer in self._observers:
            try:
                observer(records)
            except Exception:  # noqa: BLE001 - calls must not suffer for it
                _log.exception("an observer of calls failed")

    def stop(self) -> None:
        """Tells of the rest, and ends the thread."""
        self._stopping.set()
        self._thread.join()
        self.flush()

    def _work(self) -> None:
        while not self._stopping.wait(_PERIOD_SECONDS):
            self.flush()
