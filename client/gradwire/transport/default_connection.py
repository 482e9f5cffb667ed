"""The connection of calls that name none."""

from __future__ import annotations

import os
import threading

from gradwire.transport import forks
from gradwire.transport.connection import Connection, connect, entered_connection
from gradwire.transport.credentials import credentials_from_environment
from gradwire.transport.private_server import local


def current_connection() -> Connection:
    """Returns the connection of calls that name none.

    It is the innermost that was entered in this context; else the one that was
    last entered in this process and is still open; else one to the address in
    the environment variable GRADWIRE_TARGET; else one to a private server.

    With GRADWIRE_TARGET, these variables stand for arguments of ``connect``; to
    connections that a program makes itself they mean nothing:

    - GRADWIRE_TLS: ``tls``, ``true`` or ``false``;
    - GRADWIRE_TLS_CA, GRADWIRE_TLS_CERT, GRADWIRE_TLS_KEY and
      GRADWIRE_TLS_SERVER_NAME: the attributes of a ``gradwire.TLS``;
    - GRADWIRE_TOKEN_FILE: the path of a file whose first line is the ``token``.

    Raises:
        UnavailableError: there is none, and none can be made.
        VersionError: the server at GRADWIRE_TARGET doesn't fit.
        AuthenticationError: it refuses this caller.
        InvalidInputError: a variable is not as it must be.
    """
    return entered_connection() or _DEFAULTS.get(os.environ.get("GRADWIRE_TARGET", ""))


class _Defaults:
    """The connections made by default: one for each value of GRADWIRE_TARGET."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: dict[str, Connection] = {}
        forks.register(self)

    def after_fork(self) -> None:
        """Replaces the lock. The connections are registered on their own."""
        self._lock = threading.Lock()

    def get(self, target: str) -> Connection:
        with self._lock:  # so that simultaneous first calls start one server
            connection = self._connections.get(target)
            if connection is None or connection.closed:
                connection = self._connections[target] = self._make(target)
            return connection

    def _make(self, target: str) -> Connection:
        if not target:
            return local()
        try:
            tls, token = credentials_from_environment()
            return connect(target, tls=tls, token=token)
        except Exception as error:
            error.add_note(
                "(the address is that of the environment variable GRADWIRE_TARGET; the variables "
                "GRADWIRE_TLS… and GRADWIRE_TOKEN_FILE go with it)"
            )
            raise


_DEFAULTS = _Defaults()
