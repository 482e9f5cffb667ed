"""A private server that is stuck in a program, or dies of it: the next one answers."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import gradwire as gw
from gradwire.ir import encode_program
from gradwire.transport.private_server import PrivateTransport
from gradwire_server.process.run_journal import open_journal
from poisoned import poison
from programs import COUNT, SIN_BYTES, X
from server_process import eventually, processes_of, start_script
from sketch import Sketch, op

ZERO = np.int64(0)
ENDED = "a private server has ended (exit code 1)"


@pytest.fixture(autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of these tests keep what they compile to themselves, and run one program."""
    monkeypatch.setenv("GRADWIRE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("GRADWIRE_SERVER_MAX_EXECUTIONS", "1")
    monkeypatch.delenv("GRADWIRE_TARGET", raising=False)


def counting(steps: int) -> bytes:
    """Counts from its input up to a number, one by one."""
    sketch = Sketch()
    condition = sketch.add([COUNT], lambda i: op("less", i, np.int64(steps)))
    body = sketch.add([COUNT], lambda i: i + np.int64(1))
    sketch.add([COUNT], lambda i: op("while_loop", i, functions=[condition, body]))
    return encode_program(sketch.program())


def leave(connection: gw.Connection, program: bytes) -> None:
    """Has a program run whose call ends before it does."""
    connection.prepare(program)
    with pytest.raises(gw.DeadlineError):
        connection.compute(program, [ZERO], timeout=0.3)


def check(connection: gw.Connection) -> None:
    """Computes something else."""
    np.testing.assert_allclose(connection.compute(SIN_BYTES, [X]).outputs[0], np.sin(X))


def test_the_next_call_has_another_server(caplog: pytest.LogCaptureFixture) -> None:
    """Where the last one never ends; only the log shows it. Without a next call nothing ends."""
    with gw.local() as connection:
        check(connection)
        before = connection.target
        leave(connection, counting(10**18))
        time.sleep(3.0)
        assert processes_of(before)
        start = time.monotonic()
        check(connection)
        assert time.monotonic() - start < 20.0
        assert connection.target != before
        assert not processes_of(before)
    assert caplog.text.count(ENDED) == 1
    assert "still runs without a caller" in caplog.text


@pytest.mark.long
def test_a_program_that_ends_by_itself_costs_no_server(caplog: pytest.LogCaptureFixture) -> None:
    """Within two seconds of its call: the next one waits for it, and others come after it."""
    with gw.local() as connection:
        steps, seconds = 10**6, 0.0
        while seconds < 0.1:
            steps *= 4
            program = counting(steps)
            connection.prepare(program)
            start = time.monotonic()
            (count,) = connection.compute(program, [ZERO]).outputs
            seconds = time.monotonic() - start
            assert count == steps
        before = connection.target
        leave(connection, counting(int(steps * 1.0 / seconds)))
        for _ in range(12):
            check(connection)
            time.sleep(0.25)
        assert connection.target == before
    assert ENDED not in caplog.text


@pytest.mark.long
def test_an_executable_that_kills_at_load_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By the next server, to which the call is sent; only the log shows it."""
    monkeypatch.setenv("GRADWIRE_CACHE_DIR", str(tmp_path))
    with gw.local() as connection:
        check(connection)
    (file,) = (tmp_path / "executables").iterdir()
    poison(file)
    with gw.local() as connection:
        before = connection.target
        check(connection)
        assert connection.target != before
    assert caplog.text.count("a private server has ended (exit code -11)") == 1


INTERRUPTED = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
import gradwire as gw

with gw.local() as connection:
    def halve(y):
        return gw.while_loop(lambda y: y < 1e9, lambda y: y * 0.5 + 1.0, y)

    np.testing.assert_allclose(halve(np.array(1e10)), 1e10)
    print(connection.target, flush=True)
    try:
        halve(np.array(1.0))
    except KeyboardInterrupt:
        start = time.monotonic()
        np.testing.assert_allclose(gw.remote(np.sin)(2.0), np.sin(2.0))
        print(connection.target, time.monotonic() - start)
"""


def test_the_next_call_after_ctrl_c_has_another_server() -> None:
    """The interrupted one has ended at once, and its program with its server."""
    owner = start_script(INTERRUPTED, GRADWIRE_SERVER_MAX_EXECUTIONS="1")
    try:
        assert owner.stdout is not None
        before = owner.stdout.readline().strip()
        time.sleep(2.0)  # it has been compiled, so it runs
        owner.send_signal(signal.SIGINT)
        output, errors = owner.communicate(timeout=60)
    finally:
        owner.kill()
        owner.communicate()
    after, seconds = output.split()
    assert after != before
    assert float(seconds) < 20.0
    assert errors.count(ENDED) == 1
    assert "Traceback" not in errors


def test_a_program_that_crashes_it_is_refused_by_the_next() -> None:
    """By the one that its call is repeated on, and by those of other connections; others run."""
    endless = counting(10**18)
    with gw.local() as connection, ThreadPoolExecutor(1) as pool:
        check(connection)
        plan = connection.prepare(endless)
        crashing = pool.submit(connection.compute, endless, [ZERO], timeout=120.0)
        transport = connection._transport
        assert isinstance(transport, PrivateTransport)
        assert transport._notes is not None
        journal = open_journal(os.dup(transport._notes.descriptor), 4)
        assert eventually(lambda: bool(journal.read()))
        assert [run.plan_id for run in journal.read()] == [plan.id]
        journal.close()
        (pid,) = processes_of(connection.target)
        os.kill(pid, signal.SIGSEGV)
        with pytest.raises(gw.QuarantinedError, match="SIGSEGV"):
            crashing.result(120)
        check(connection)
    with gw.local() as connection:
        with pytest.raises(gw.QuarantinedError, match="SIGSEGV"):
            connection.compute(endless, [ZERO])
        check(connection)
