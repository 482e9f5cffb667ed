"""The command `gradwire-server` with its processes, to be killed, stopped and started anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

from server_process import COMMAND, children_of, eventually, is_alive


class SupervisedCommand:
    """A supervisor, its server and its compilers, on a Unix socket and with a cache.

    Attributes:
        socket: Where it serves.
        target: The same as a gRPC target.
        metrics: Where it serves its metrics.
        log: The file that all its processes write to.
    """

    def __init__(self, folder: Path, *flags: str) -> None:
        self.socket = folder / "s"
        self.target = f"unix:{self.socket}"
        self.log = folder / "log"
        self._cache = folder / "cache"
        self._flags = [*flags, "--listen", self.target, "--cache-dir", str(self._cache)]
        self._flags += ["--metrics", "127.0.0.1:0", "--grace", "1"]
        self._process: subprocess.Popen[bytes] | None = None
        self.metrics = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it by a signal to the supervisor, as an operator does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        finally:
            self._process.kill()
            self._process.communicate()

    def start(self) -> None:
        """Starts it, and waits until it takes calls."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GRADWIRE")}
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *self._flags], env=environment, stdout=subprocess.PIPE, stderr=log
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log.read_text(errors="replace")
        ready: dict[str, Any] = json.loads(line)
        self.metrics = ready["metrics"]

    def kill_supervisor(self) -> None:
        """Kills it, waits until its server has ended by itself, and starts it anew."""
        assert self._process is not None
        server = self.server()
        self._process.kill()
        self._process.communicate()
        assert server is None or eventually(lambda: not is_alive(server), 60)
        self.start()

    def server(self) -> int | None:
        """The id of the server process, if there is one."""
        assert self._process is not None
        return next(iter(children_of(self._process.pid)), None)

    def compilers(self) -> list[int]:
        """The ids of its compilers."""
        server = self.server()
        return [] if server is None else children_of(server)

    def quarantined(self) -> dict[str, tuple[float, str]]:
        """The plans that are kept in quarantine, and why."""
        file = self._cache / "quarantine" / "plans.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def cached(self) -> list[Path]:
        """The executables that it keeps on disk."""
        return sorted((self._cache / "executables").iterdir())
