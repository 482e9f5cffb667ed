"""Programs that are refused for a time, since compiling them brought a compiler down."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from gradwire.errors import GradwireError

_MAX_REFUSED = 1024


class RefusedPrograms:
    """Programs that are refused for a time, and the error that each is refused with."""

    def __init__(self, seconds: float) -> None:
        """Refuses none yet; each that comes is refused for so many seconds."""
        self.seconds = seconds
        self._lock = threading.Lock()
        self._errors: OrderedDict[bytes, tuple[float, GradwireError]] = OrderedDict()

    def add(self, name: bytes, error: GradwireError) -> None:
        """Refuses a program from now on, with this error. Thread-safe."""
        with self._lock:
            self._errors[name] = time.monotonic() + self.seconds, error
            while len(self._errors) > _MAX_REFUSED:
                self._errors.popitem(last=False)

    def check(self, name: bytes) -> None:
        """Raises the error of a program that is refused. Thread-safe."""
        with self._lock:
            until, error = self._errors.get(name, (0.0, None))
            if error is None:
                return
            if time.monotonic() >= until:
                del self._errors[name]
                return
        raise type(error)(error.message, reason=error.reason, metadata=error.metadata)
