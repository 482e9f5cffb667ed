"""The pages for monitoring are served to readers, and to nobody's harm."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

import pytest

from gradwire_server.observability.http import HttpServer
from gradwire_server.start_error import StartError
from monitoring import page_at


def test_only_three_pages_are_served() -> None:
    """To readers alone."""
    monitor = HttpServer(
        "127.0.0.1:0", lambda: (200, "text/plain", b"m"), lambda: (503, "x/y", b"r")
    )
    monitor.start()
    try:
        assert page_at(f"{monitor.url}/metrics?x=1") == (200, "m")
        assert page_at(f"{monitor.url}/readyz") == (503, "r")
        assert page_at(f"{monitor.url}/livez") == (200, "ok\n")
        for wrong in ("/", "/metrics/", "/../etc/passwd", "/Livez", "/livez/x"):
            assert page_at(monitor.url + wrong)[0] == 404
        connection = http.client.HTTPConnection(urlsplit(monitor.url).netloc, timeout=10)
        for method, status in (("HEAD", 200), ("POST", 501), ("DELETE", 501)):
            connection.request(method, "/livez")
            reply = connection.getresponse()
            assert (reply.status, reply.read() == b"") == (status, method == "HEAD")
            connection.close()
    finally:
        monitor.stop()


def test_silent_connections_do_not_stop_the_monitor() -> None:
    """As many as it takes are held; beyond them it closes at once, and it still ends."""
    monitor = HttpServer("127.0.0.1:0", lambda: (200, "x/y", b""), lambda: (200, "x/y", b""))
    monitor.start()
    address = urlsplit(monitor.url)
    held = [socket.create_connection((address.hostname, address.port), 10) for _ in range(16)]
    try:
        with socket.create_connection((address.hostname, address.port), 10) as refused_:
            assert refused_.recv(1) == b""
        held.pop().close()
    finally:
        for connection in held:
            connection.close()
        monitor.stop()


def test_an_address_in_use_is_an_error() -> None:
    """When the monitor starts, not later; and it can be stopped all the same."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        monitor = HttpServer(
            f"127.0.0.1:{other.getsockname()[1]}", lambda: (0, "", b""), lambda: (0, "", b"")
        )
        with pytest.raises(
            StartError, match=r"`metrics` must be .* got .127\.0\.0\.1:\d+. .*in use"
        ):
            monitor.start()
        assert monitor.url is None
        monitor.stop()


def test_a_monitor_that_is_off_answers_nowhere() -> None:
    """It starts and stops as others do."""
    monitor = HttpServer("off", lambda: (0, "", b""), lambda: (0, "", b""))
    monitor.start()
    assert monitor.url is None
    monitor.stop()
