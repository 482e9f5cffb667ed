"""A TCP proxy in front of a Unix socket, whose connections can be cut, slowed down and held."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import Self

_CHUNK_BYTES = 2**16
_SLOW_BYTES = 256


class TcpProxy:
    """Passes bytes on, each direction of each connection in a thread of its own.

    Attributes:
        address: Where it listens, as a gRPC target.
        cuts: How many connections it has cut.
    """

    def __init__(self, backend: Path) -> None:
        self._backend = str(backend)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        self._lock = threading.Lock()
        self._open: list[tuple[socket.socket, socket.socket]] = []
        self._pause = 0.0
        self._flowing = threading.Event()
        self._flowing.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing it alone would not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._flowing.set()
        self.cut()

    def cut(self) -> None:
        """Ends all connections, in the middle of whatever they carry."""
        with self._lock:
            pairs, self._open = self._open, []
        self.cuts += len(pairs)
        for pair in pairs:
            _end(*pair)

    def slow_down(self, pause: float) -> None:
        """Passes on only some bytes at a time, with a pause in between; 0 for all at once."""
        self._pause = pause

    def hold(self) -> None:
        """Passes nothing on, and keeps the connections."""
        self._flowing.clear()

    def go_on(self) -> None:
        """Ends what ``hold`` has begun."""
        self._flowing.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._backend)
            except OSError:  # there is no server now
                _end(client, server)
                continue
            with self._lock:
                self._open.append((client, server))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_SLOW_BYTES if self._pause else _CHUNK_BYTES):
                time.sleep(self._pause)
                self._flowing.wait()
                sink.sendall(data)
        with self._lock:
            self._open = [pair for pair in self._open if source not in pair]
        _end(source, sink)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
