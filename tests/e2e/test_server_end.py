"""A server process in which something hangs, and which ends all the same."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

import gradwire as gw
from programs import SIN, X
from server_process import (
    children_of,
    eventually,
    is_alive,
    start_script,
    started,
    wait_until_ready,
)
from serving import Stub, inline, outputs


def _flags(folder: Path) -> list[str]:
    address = f"unix:{folder}/s"
    return ["--listen", address, "--cache-dir", "off", "--grace", "0.5", "--drain-delay", "0.5"]


class Log:
    """A pipe that a server writes its log to, and that isn't read."""

    def __init__(self, folder: Path) -> None:
        path = folder / "log"
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        # Opened twice, since only the test's own writing must not wait.
        self.writer = os.open(path, os.O_WRONLY)
        self._filler = os.open(path, os.O_WRONLY | os.O_NONBLOCK)

    def fill(self) -> None:
        """Fills it, to the last byte."""
        for size in (4096, 1):
            try:
                while True:
                    os.write(self._filler, b"\n" * size)
            except BlockingIOError:
                pass

    def close(self) -> None:
        """Closes all three."""
        for descriptor in (self._reader, self.writer, self._filler):
            os.close(descriptor)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """One for a server."""
    log = Log(tmp_path)
    yield log
    log.close()


def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path, log: Log) -> None:
    """Calls, metrics and liveness are answered, and the process ends on a signal."""
    flags = [*_flags(tmp_path), "--metrics", "127.0.0.1:0"]
    with started(*flags, stderr=log.writer) as process:
        served = wait_until_ready(process)
        log.fill()
        with grpc.insecure_channel(served["listening"]) as channel:
            for _ in range(3):
                np.testing.assert_allclose(
                    outputs(Stub(channel).Compute(inline(SIN, X), timeout=30))[0], np.sin(X)
                )
                for page in ("metrics", "livez"):
                    with urllib.request.urlopen(f"{served['metrics']}/{page}", timeout=10) as reply:
                        assert reply.read()
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1
        assert 1.0 < time.monotonic() - start < 10.0  # not before drain delay and grace are over


def test_a_log_that_nobody_reads_keeps_no_supervisor(tmp_path: Path, log: Log) -> None:
    """It replaces a server that died, and ends when it is told to, though neither is logged."""
    flags = [*_flags(tmp_path), "--metrics", "off"]
    with started(*flags, stderr=log.writer) as process:
        wait_until_ready(process)
        log.fill()
        (first,) = children_of(process.pid)
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: bool(children_of(process.pid)) and not is_alive(first), 30)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert time.monotonic() - start < 20.0
        assert children_of(process.pid) == []


HANGING = """
import re, sys
from gradwire_server import app

def stop(self, grace):
    re.match("(a+)+$", "a" * 100 + "b")  # for years, and holds the interpreter's lock

app.App.stop = stop
from gradwire_server.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_whatever_hangs_the_process_ends_and_says_where(tmp_path: Path) -> None:
    """Soon after drain delay and grace, with a status other than that of a clean end."""
    process = start_script(HANGING, *_flags(tmp_path), "--embedded")
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert 1.0 < time.monotonic() - start < 10.0
        assert process.returncode == 1
        assert "in stop" in errors
    finally:
        process.kill()
        process.communicate()


def test_a_program_that_never_ends_costs_one_server(tmp_path: Path) -> None:
    """It ends when such programs take all places; the log names their calls, and another starts."""
    flags = ["--max-executions", "1", "--max-abandoned-seconds", "2", "--metrics", "127.0.0.1:0"]
    with started(*_flags(tmp_path), *flags) as process:
        served = wait_until_ready(process)
        with gw.connect(served["listening"], timeout=3.0):
            with pytest.raises(gw.DeadlineError) as caught:
                gw.while_loop(lambda y: y < 1e9, lambda y: y * 0.5 + 1.0, np.array(1.0))

            def is_abandoned() -> bool:
                with urllib.request.urlopen(f"{served['metrics']}/metrics", timeout=10) as page:
                    return b"\ngradwire_executions_abandoned 1.0\n" in page.read()

            assert eventually(is_abandoned)  # the server's deadline may be a little later
        with gw.connect(served["listening"], timeout=60.0):
            value = gw.remote(np.sin)(X)
        np.testing.assert_allclose(value, np.sin(X))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
        assert process.returncode == 0
        assert f"of the call '{caught.value.call_id}' still runs, without a caller" in log
        assert "1 places are taken by programs each of which still runs without" in log
