"""Writes log lines for threads that must not wait for the log."""

from __future__ import annotations

import logging
import threading
from collections import deque

LAST_LINES_SECONDS = 1.0
"""What writing may take at the end of a process."""
_MOST = 1000
"""Lines that wait; past them the oldest are dropped."""

_Line = tuple[int, str, tuple[object, ...], BaseException | None]


class BackgroundLog:
    """Writes lines in their order, from a thread that exists while lines wait.

    Writing a line may block for ever, such as when stderr is a pipe that isn't read.
    """

    def __init__(self, logger: logging.Logger) -> None:
        """Makes one that writes to a logger."""
        self._logger = logger
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._lines: deque[_Line] = deque(maxlen=_MOST)
        self._is_writing = False

    def write(
        self, level: int, message: str, *values: object, error: BaseException | None = None
    ) -> None:
        """Has a line written soon, with the traceback of an error if there is one."""
        with self._lock:
            self._lines.append((level, message, values, error))
            if self._is_writing:
                return
            self._is_writing = True
            self._idle.clear()
        threading.Thread(target=self._work, name="background-log", daemon=True).start()

    def wait(self, seconds: float = LAST_LINES_SECONDS) -> bool:
        """Waits until all lines are written, for so long at most; returns whether they are."""
        return self._idle.wait(seconds)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._lines:
                    self._is_writing = False
                    self._idle.set()
                    return
                level, message, values, error = self._lines.popleft()
            self._logger.log(level, message, *values, exc_info=error)
