"""Why a server can't start. Each part that can prevent it derives an error of its own."""

from __future__ import annotations


class StartError(Exception):
    """The server can't start; the message says why, and names the setting if there is one."""
