"""A private server: `gradwire_server` as a child process, and the transport to it.

The child listens on a Unix socket that only its user can reach, and ends with
its owner, however that ends. This module starts and stops it.
"""

from __future__ import annotations

import logging
import threading

import numpy.typing as npt

from gradwire.errors import UnavailableError
from gradwire.transport import forks
from gradwire.transport.call import Call
from gradwire.transport.child_process import STARTUP_SECONDS, ServerProcess
from gradwire.transport.connection import Connection, check_version
from gradwire.transport.grpc import Channel
from gradwire.transport.options import COMPUTE_SECONDS, check_options
from gradwire.transport.retry import Failure
from gradwire.transport.run_notes import RunNotes

_log = logging.getLogger(__name__)


class PrivateTransport:
    """A transport to a server of its own, which it starts when there is none.

    A process that is forked from this one gets another server, at its first call.
    """

    def __init__(self, startup_timeout: float) -> None:
        self._startup_timeout = startup_timeout
        self._lock = threading.Lock()
        self._running: tuple[ServerProcess, Channel] | None = None
        self._notes: RunNotes | None = None
        self._closed = False
        forks.register(self)

    @property
    def target(self) -> str:
        """The server's address, for messages: it changes when the server is restarted."""
        running = self._running
        return running[1].target if running else "a private server"

    def after_fork(self) -> None:
        """Leaves the server to the parent."""
        self._lock = threading.Lock()
        self._running = None
        self._notes = None

    def start(self) -> tuple[ServerProcess, Channel]:
        """Returns the server that runs; starts one if there is none, or it has died.

        Raises:
            UnavailableError: it can't be started.
        """
        with self._lock:
            if self._closed:
                raise UnavailableError("`local`: this connection is closed")
            notes = self._notes = self._notes or RunNotes()
            if self._running is not None:
                server, channel = self._running
                if server.running:
                    return self._running
                channel.close()
                _log.warning(
                    "a private server has ended%s\nanother is started", server.last_words()
                )
                server.stop()
                notes.last_exit = server.exit_code
                self._running = None
            server = ServerProcess(self._startup_timeout, notes)
            self._running = server, Channel(server.target)
            return self._running

    def close(self) -> None:
        """Stops the server."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, None
        if running is not None:
            server, channel = running
            channel.close()
            server.stop()

    def attempt(self, call: Call, method: str, request: bytes, seconds: float) -> bytes | Failure:
        """Calls once. See ``Transport``."""
        try:
            server, channel = self.start()
        except UnavailableError as error:
            error.call_id = call.id
            return Failure(error)
        result = channel.attempt(call, method, request, min(seconds, call.left()))
        if not isinstance(result, Failure) or not isinstance(result.error, UnavailableError):
            return result
        if self._closed or not server.has_died():
            return result
        # The call may be the cause of a crash, so it is tried on one more server only.
        text = f"the private server has died{server.last_words()}"
        retryable = call.attempts < 2 or not server.has_crashed
        return Failure(UnavailableError(text, call_id=call.id), retryable=retryable)


def local(
    *,
    timeout: float = COMPUTE_SECONDS,
    affinity: str | None = None,
    precision: str = "highest",
    float_dtype: npt.DTypeLike | None = None,
    startup_timeout: float = STARTUP_SECONDS,
) -> Connection:
    """Starts a private server, which ends when the connection is closed or this process ends.

    What it compiles is kept in ``~/.cache/gradwire`` for the next one; the
    environment variable GRADWIRE_CACHE_DIR names another folder, or is ``off``.
    Its socket is in a folder of this user's own below ``/tmp``, or, where that is
    read-only, below ``XDG_RUNTIME_DIR`` or ``TMPDIR``.

    Args:
        timeout: Seconds that one run may take.
        affinity: Not used: there is one server.
        precision: How float32 matrix products are computed: ``highest`` (true
            float32), ``high`` or ``fast`` (TF32 on recent GPUs).
        float_dtype: Converts all floating values to this dtype.
        startup_timeout: Seconds that starting may take.

    Returns:
        The connection: a context manager that can also be held and passed.

    Raises:
        UnavailableError: the server can't be started; the message says why.
        InvalidInputError: an argument is not as it must be.
    """
    options = check_options(
        timeout=timeout, affinity=affinity, precision=precision, float_dtype=float_dtype
    )
    transport = PrivateTransport(startup_timeout)
    connection = Connection(transport, options)
    try:
        transport.start()
        check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection
