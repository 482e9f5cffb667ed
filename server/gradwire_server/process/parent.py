"""Notices that the parent of an embedded server has gone. POSIX only."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_POLL_SECONDS = 0.5

FOLDER_PREFIX = "gradwire-"


def watch_parent(gone: Callable[[], None]) -> None:
    """Calls ``gone`` once, from a thread, when stdin ends or the parent changes.

    Both, because a process that the parent forked keeps stdin open after the
    parent's death. The thread waits for stdin and so learns of its end at once; and it is
    there before the server, which takes seconds to import. Neither holds for a ``Watchdog``.
    """
    parent = os.getppid()
    threading.Thread(target=_watch, args=(parent, gone), name="parent", daemon=True).start()


def remove_socket_folder(listen: str) -> None:
    """Removes the folder of a private socket, which a parent that died can't do any more.

    Only a folder with the prefix that the client gives it, and only if nothing
    else is in it.
    """
    socket = Path(listen.removeprefix("unix:"))
    if listen.startswith("unix:") and socket.parent.name.startswith(FOLDER_PREFIX):
        with contextlib.suppress(OSError):
            socket.unlink(missing_ok=True)
            socket.parent.rmdir()


def _watch(parent: int, gone: Callable[[], None]) -> None:
    while os.getppid() == parent and not _stdin_ended():
        pass
    gone()


def _stdin_ended() -> bool:
    """Waits a moment for stdin; what arrives on it means nothing."""
    try:
        descriptor = sys.stdin.fileno()
        readable, _, _ = select.select([descriptor], [], [], _POLL_SECONDS)
        return bool(readable) and not os.read(descriptor, 4096)
    except (AttributeError, OSError, ValueError):
        return True  # there never was one
