"""Ends the process when it is told to, whatever hangs. Knows nothing of the server."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable


def obey_signals(stop: Callable[[], None]) -> None:
    """Calls ``stop`` at the first SIGTERM or SIGINT; another one ends the process at once.

    Args:
        stop: Runs in the main thread, between any two steps of what that is doing.
    """

    def obey(number: int, _: object) -> None:
        # No SIG_DFL: the kernel keeps it from process 1, which a server in a container is.
        signal.signal(number, lambda number, _: os._exit(128 + number))
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, obey)


def end_after(seconds: float) -> None:
    """Ends the process with status 1 after some time, and writes all stacks to stderr.

    A thread of the C library does it: what hangs may hold any lock of Python, that of
    the interpreter included. May be called when a signal is handled.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=_open_unblocked())


def _open_unblocked() -> int:
    """Opens what stderr is for writing that never waits.

    That nobody reads it may be what hangs. The descriptor that there is can't be
    told not to wait without telling all processes that share it.
    """
    try:
        return os.open(
            "/proc/self/fd/2",
            os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC,
        )
    except OSError:  # it is a socket or closed, or not on Linux
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
