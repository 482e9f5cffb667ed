"""Exit codes: those of this command, and what those of its processes mean."""

from __future__ import annotations

import signal
import sys

FAILED = 1
WRONG_USAGE = 2


def refuse(message: str, code: int = FAILED) -> int:
    """Writes why the command does nothing to stderr; returns the exit code."""
    sys.stderr.write(f"gradwire-server: {message}\n")
    return code


def describe_exit(code: int) -> str:
    """Returns how a process ended, by its exit code: minus the signal that ended it."""
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"
