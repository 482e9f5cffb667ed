"""Ends the process on a signal, whatever hangs. It must not import the server's other parts."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable


def obey_signals(stop: Callable[[], None], *, once: bool = False) -> None:
    """Calls ``stop`` at the first SIGTERM or SIGINT; a second one ends the process at once.

    Args:
        stop: Runs in the main thread, between any two of its instructions.
        once: Whether a second one does nothing: the supervisor decides what it means.
    """

    def obey(number: int, _: object) -> None:
        # No SIG_DFL: the kernel ignores it for process 1, which a server in a container is.
        for other in (signal.SIGTERM, signal.SIGINT) if once else (number,):
            signal.signal(other, lambda number, _: None if once else os._exit(128 + number))
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, obey)


def end_after(seconds: float) -> None:
    """Ends the process with status 1 after some time, and writes all stacks to stderr.

    A thread in C does this: what hangs may hold any lock of Python's, the
    interpreter's included. It may be called in a signal handler.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=_open_unblocked())


def _open_unblocked() -> int:
    """Opens the file behind stderr again, for writing that never blocks.

    The server may hang because stderr isn't read. Setting the present descriptor
    to not block would change it for all processes that share it.
    """
    try:
        return os.open(
            "/proc/self/fd/2",
            os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC,
        )
    except OSError:  # it is a socket or closed, or not on Linux
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
