"""Files that may be replaced while the server runs, whatever they hold."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from gradwire.credential_files import file_stamp

T = TypeVar("T")

PERIOD_SECONDS = 1.0
"""The least time between two checks of the files."""

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, ...] | None, ...]


class Renewed(Generic[T]):
    """The content of some files, read again after they have changed.

    If a new version can't be read, one warning is logged and the old content
    stays in use. Thread-safe.
    """

    def __init__(self, paths: Sequence[str], read: Callable[[], T]) -> None:
        """Reads the files.

        Args:
            paths: The files. Each may be a symbolic link that is replaced, as
                Kubernetes does with its secrets.
            read: Reads them; raises a ValueError if they can't be used, from
                here as well.
        """
        self._paths = tuple(paths)
        self._read = read
        self._lock = threading.Lock()
        # A file that changes while it is read is read again.
        self._stamp = self._look()
        self._value = read()
        self._looked_at = time.monotonic()

    def get(self) -> T:
        """Returns their content, at most a second old; doesn't raise."""
        if time.monotonic() - self._looked_at >= PERIOD_SECONDS and self._lock.acquire(False):
            try:
                self._renew()
                self._looked_at = time.monotonic()
            finally:
                self._lock.release()
        return self._value

    def _renew(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        try:
            value = self._read()
        except ValueError as error:
            if stamp == self._look():
                self._stamp = stamp
                _log.warning("the files read before stay in use: %s", error)
            return
        if stamp == self._look():  # else they may be of different versions
            self._stamp = stamp
            self._value = value
            _log.info("read again after a change: %s", ", ".join(self._paths))

    def _look(self) -> _Stamp:
        return tuple(file_stamp(path) for path in self._paths)
