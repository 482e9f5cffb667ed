"""The HTTP server for monitoring: /metrics, /livez and /readyz. Nothing else."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gradwire_server.config.addresses import split_address
from gradwire_server.config.settings import OFF
from gradwire_server.start_error import StartError

_log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 16
_TIMEOUT_SECONDS = 5.0
TEXT = "text/plain; charset=utf-8"

Page = Callable[[], tuple[int, str, bytes]]
"""Makes a page: HTTP status, content type, body."""


class HttpServer:
    """An HTTP server in threads of its own.

    Attributes:
        url: Where it answers; None while it doesn't.
    """

    def __init__(self, address: str, metrics: Page, ready: Page) -> None:
        """Makes a server that isn't bound to its address yet.

        Args:
            address: HOST:PORT; or ``OFF``, and then it never answers.
            metrics: Makes the page /metrics.
            ready: Makes the page /readyz.
        """
        self._address = address
        self._pages = {
            "/metrics": metrics,
            "/readyz": ready,
            "/livez": lambda: (200, TEXT, b"ok\n"),
        }
        self._server: _Server | None = None
        self.url: str | None = None

    def start(self) -> None:
        """Binds the address, and answers from now on.

        Raises:
            StartError: it can't be bound.
        """
        if self._address == OFF:
            return
        host, port = split_address(self._address)
        try:
            self._server = server = _Server(host, port, self._pages)
        except OSError as error:
            raise StartError(
                f"`metrics` must be an address that can be bound; got {self._address!r} "
                f"({error.strerror or error})"
            ) from None
        self._thread = threading.Thread(
            target=server.serve_forever, args=(0.1,), name="monitor", daemon=True
        )
        self._thread.start()
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{server.server_address[1]}"

    def stop(self) -> None:
        """Stops answering, and releases the address."""
        if self._server is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self.url = None


class _Server(ThreadingHTTPServer):
    """Takes a bounded number of connections at once; closes those beyond it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, pages: dict[str, Page]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.pages = pages
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a connection to the HTTP server for monitoring failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _TIMEOUT_SECONDS
    server: _Server

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        status, kind, body = page() if page else (404, TEXT, b"not found\n")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)
