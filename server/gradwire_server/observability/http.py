"""The HTTP server for monitoring: /metrics, /livez and /readyz. Nothing else."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gradwire_server.config.settings import split_address

_log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 16
_TIMEOUT_SECONDS = 5.0
_TEXT = "text/plain; charset=utf-8"

Page = Callable[[], tuple[int, str, bytes]]
"""Makes a page: HTTP status, content type, body."""


class HttpServer:
    """An HTTP server in threads of its own."""

    def __init__(self, address: str, metrics: Page, ready: Page) -> None:
        """Binds the address.

        Raises:
            OSError: it can't be bound.
        """
        host, port = split_address(address)
        pages = {"/metrics": metrics, "/readyz": ready, "/livez": lambda: (200, _TEXT, b"ok\n")}
        try:
            self._server = _Server(host, port, pages)
        except OSError as error:
            raise OSError(
                f"`metrics` must be an address that can be bound; got {address!r} "
                f"({error.strerror or error})"
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="monitor", daemon=True
        )
        bound = self._server.server_address
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{bound[1]}"

    def start(self) -> None:
        """Answers from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stops answering, and gives the address back."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


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
        _log.debug("a connection to the monitor broke", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _TIMEOUT_SECONDS
    server: _Server

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        status, kind, body = page() if page else (404, _TEXT, b"not found\n")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)
