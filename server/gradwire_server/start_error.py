"""Why a server can't start. Each part that may be the reason derives its own error."""

from __future__ import annotations


class StartError(Exception):
    """The server can't start; the message says why, and names the setting if it is one."""
