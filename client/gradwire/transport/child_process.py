"""Starts and stops the process of a private server, and reads its output.

Must not import gRPC.
"""

from __future__ import annotations

import importlib.util
import json
import os
import selectors
import shutil
import site
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import IO

from gradwire.errors import UnavailableError
from gradwire.transport import forks
from gradwire.transport.run_notes import RunNotes
from gradwire.transport.socket_folder import SOCKET, make_socket_folder

STARTUP_SECONDS = 60.0
MAX_ABANDONED_SECONDS = 2.0
"""How long a program whose call has ended may go on where the next call finds it. Nothing but
the end of its process can stop it."""
STOP_SECONDS = 5.0
"""After its stdin was closed, the process is given this time to end by itself."""

_INSTALL = "Run: pip install 'gradwire[server]', or name a server that runs in GRADWIRE_TARGET"
_OWN_DECISIONS = (0, 1)
"""Exit codes of a server that was told to end, or is stuck in a program that no call waits for."""
_TAIL_BYTES = 16 * 1024
_TAIL_LINES = 20


class ServerProcess:
    """A server that serves this process alone. Stopped at the latest when collected.

    Attributes:
        target: The address of its socket.
    """

    def __init__(
        self, startup_timeout: float = STARTUP_SECONDS, notes: RunNotes | None = None
    ) -> None:
        """Starts it and waits until it takes calls.

        Args:
            startup_timeout: Seconds that this may take.
            notes: What the server before it has noted; None if there was none.

        Raises:
            UnavailableError: it did not start in time, or can't be started at all.
        """
        _check_installed()
        notes = RunNotes() if notes is None else notes
        directory = make_socket_folder()
        self.target = f"unix:{directory}/{SOCKET}"
        try:
            self._process = subprocess.Popen(
                _command(self.target),
                bufsize=0,  # plain descriptors: a lock might be held when this process forks
                env=_environment() | notes.environment(),
                pass_fds=[notes.descriptor],
                start_new_session=True,  # Ctrl-C goes to the owner alone
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            shutil.rmtree(directory, ignore_errors=True)
            raise UnavailableError(f"the private server can't be started: {error}") from error
        self._stop = weakref.finalize(self, _stop, self._process, directory, os.getpid())
        self._output = _Output(self._process)
        forks.register(self)
        try:
            self._output.start()
            self._wait_until_ready(startup_timeout)
        except BaseException:
            self.stop()
            raise

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, minus the signal that ended it; None while it runs."""
        return self._process.poll()

    @property
    def has_crashed(self) -> bool:
        """Whether something has ended it that it did not decide itself."""
        return self.exit_code not in (None, *_OWN_DECISIONS)

    def has_died(self) -> bool:
        """Returns whether it ends within 0.5 s: its socket is closed just before."""
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self) -> str:
        """Returns how it ended, and the end of what it wrote to stderr, for a message."""
        code = self._process.poll()
        if code is not None:
            self._output.join(0.5)  # it may not have read them yet
        how = f" (exit code {code})" if code is not None else ""
        text = self._output.tail()
        return how + (f"; it wrote:\n{text}" if text else "")

    def stop(self) -> None:
        """Ends it. Only the process that started it does."""
        self._stop()

    def after_fork(self) -> None:
        """Closes this process's copies of its pipes: it has to end with the parent's."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._process.returncode = 0  # it is no child of this process to wait for

    def _wait_until_ready(self, seconds: float) -> None:
        line = self._output.first_line(seconds)
        try:
            if line and json.loads(line)["listening"] == self.target:
                return
        except (ValueError, KeyError, TypeError):
            pass
        if line is None and self.running:
            problem = f" within {seconds:g} s"
        else:
            self.has_died()
            problem = ""
        raise UnavailableError(f"the private server did not start{problem}{self.last_words()}")


class _Output(threading.Thread):
    """Reads a process's output, so that no full pipe blocks it, and keeps a part for messages."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(name="gradwire-private-server", daemon=True)
        assert process.stdout is not None
        assert process.stderr is not None
        self._stdout: IO[bytes] = process.stdout
        self._stderr: IO[bytes] = process.stderr
        self._changed = threading.Condition()
        self._head = b""
        self._tail = b""
        self._open = True

    def first_line(self, seconds: float) -> bytes | None:
        """Returns the first line on stdout; what there is if that ended; None if it is late."""
        with self._changed:
            if not self._changed.wait_for(lambda: b"\n" in self._head or not self._open, seconds):
                return None
            return self._head.partition(b"\n")[0]

    def tail(self) -> str:
        """Returns the last lines on stderr."""
        with self._changed:
            lines = self._tail.decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for stream in (self._stdout, self._stderr):
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    chunk = os.read(key.fd, 65_536)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    self._take(key.fileobj is self._stdout, chunk)
        self._stdout.close()
        self._stderr.close()

    def _take(self, from_stdout: bool, chunk: bytes) -> None:
        with self._changed:
            if not from_stdout:
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
            elif not chunk:
                self._open = False
            elif b"\n" not in self._head:
                self._head = (self._head + chunk)[:_TAIL_BYTES]
            self._changed.notify_all()


def _stop(process: subprocess.Popen[bytes], directory: str, owner: int) -> None:
    if os.getpid() != owner:
        return
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(directory, ignore_errors=True)


def _check_installed() -> None:
    for module in ("gradwire_server", "jax"):
        if importlib.util.find_spec(module) is None:
            raise UnavailableError(f"a private server needs `{module}`. {_INSTALL}")


def _command(target: str) -> list[str]:
    # -P: the current folder must not shadow modules.
    command = [sys.executable, "-P", "-m", "gradwire_server", "--embedded", "--listen", target]
    # No call is waited for after the connection is closed.
    command += ["--metrics", "off", "--grace", "0"]
    command += ["--max-abandoned-seconds", str(MAX_ABANDONED_SECONDS)]
    cache = os.environ.get("GRADWIRE_CACHE_DIR")
    return [*command, "--cache-dir", cache] if cache else command


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    # By default JAX allocates three quarters of a GPU's memory, which the owner may need.
    environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    environment["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # it never forks
    # Only this user reaches it; the settings are for other servers in this environment.
    for name in ("TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "TOKEN_FILE"):
        environment.pop(f"GRADWIRE_SERVER_{name}", None)
    # What this process finds by PYTHONPATH or by changing sys.path, the child must
    # find as well; what is installed it finds by itself.
    found = [_folder_of("gradwire"), _folder_of("gradwire_server")]
    installed = {
        os.path.realpath(path) for path in (*site.getsitepackages(), site.getusersitepackages())
    }
    extra = [path for path in dict.fromkeys(found) if path and path not in installed]
    rest = environment.get("PYTHONPATH")
    if extra:
        environment["PYTHONPATH"] = os.pathsep.join([*extra, rest] if rest else extra)
    return environment


def _folder_of(package: str) -> str | None:
    """Returns the folder that a package was found in."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return os.path.realpath(Path(next(iter(spec.submodule_search_locations))).parent)
