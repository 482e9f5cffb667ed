"""Exit codes: those of this command, and what those of its processes mean."""

from __future__ import annotations

import signal
import sys

FAILED = 1
WRONG_USAGE = 2
DEVICE_LOST = 75
"""Of a server, not of the command: the next one can use the device."""


def refuse(message: str, code: int = FAILED) -> int:
    """Writes why the command does nothing to stderr; returns the exit code."""
    sys.stderr.write(f"gradwire-server: {message}\n")
    return code


def describe_exit(code: int) -> str:
    """Returns how a process ended, by its exit code: minus the signal that ended it."""
    if code < 0:
        return signal.Signals(-code).name
    return f"exit status {code}" + (", its device was lost" if code == DEVICE_LOST else "")
