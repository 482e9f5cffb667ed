"""The command as its users start it: what becomes of callers when a process of it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import gradwire as gw
from gradwire.ir import Program, encode_program
from programs import chain, function, node, program, vector
from server_process import (
    COMMAND,
    children_of,
    eventually,
    is_alive,
    started,
    wait_until_ready,
)
from serving import Stub, inline

PATIENCE = 60.0
X = np.array([0.5, -1.0, 2.0])
ONE = np.array(1.0)


def endless(factor: float) -> Program:
    """``while y < 2: y *= factor``, for a factor of up to 1."""
    test = function([vector()], node("less", [0, 1], 2), results=[2], constants=[np.array(2.0)])
    body = function(
        [vector()], node("multiply", [0, 1], 2), results=[2], constants=[np.array(factor)]
    )
    loop = node("while_loop", [0], 1, functions=[0, 1])
    return program(test, body, function([vector()], loop, results=[1]))


class Command:
    """The process of the command, and what it says of itself."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.cache = folder / "cache"
        served = wait_until_ready(process)
        self.target: str = served["listening"]
        self._metrics: str = served["metrics"]

    @property
    def server(self) -> int:
        """The id of the server's process."""
        (pid,) = children_of(self.process.pid)
        return pid

    def metrics(self) -> dict[str, float]:
        """The metrics without labels; none while no server answers."""
        try:
            with urllib.request.urlopen(f"{self._metrics}/metrics", timeout=10) as page:
                lines = page.read().decode().splitlines()
        except (urllib.error.URLError, ConnectionError):
            return {}
        pairs = [line.split() for line in lines if line[0] != "#" and "{" not in line]
        return {name.removeprefix("gradwire_"): float(value) for name, value in pairs}

    def wait_for(self, **wanted: float) -> None:
        """Waits until metrics have these values, and the server takes calls."""
        wanted["ready"] = 1.0
        assert eventually(lambda: self.metrics().items() >= wanted.items(), PATIENCE), (
            self.metrics(),
            wanted,
        )

    def quarantine(self, *arguments: str) -> list[list[str]]:
        """Runs ``gradwire-server quarantine``; returns the words that it prints."""
        words = [*COMMAND, "quarantine", "--cache-dir", str(self.cache), *arguments]
        answer = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True)
        return [line.split() for line in answer.stdout.splitlines()]


@contextmanager
def supervised(folder: Path, *flags: str) -> Iterator[Command]:
    """A command on a Unix socket, which takes calls."""
    address = f"unix:{folder}/s"
    common = ["--listen", address, "--metrics", "127.0.0.1:0", "--grace", "0.5"]
    with started(*common, "--cache-dir", str(folder / "cache"), *flags) as process:
        yield Command(process, folder)


def check(connection: gw.Connection, op: str = "sin") -> None:
    """Calls a program of one op, and compares with NumPy."""
    reply = connection.compute(encode_program(program(chain(op, 1, vector(3)))), [X])
    np.testing.assert_allclose(reply.outputs[0], getattr(np, op)(X), rtol=1e-12)


@contextmanager
def running(command: Command, programs: Sequence[Program]) -> Iterator[list[Any]]:
    """Calls that are not tried again, from when all of them run."""
    with grpc.insecure_channel(command.target, [("grpc.enable_retries", 0)]) as channel:
        calls = [Stub(channel).Compute.future(inline(each, ONE)) for each in programs]
        command.wait_for(executions_running=len(programs))
        yield calls
        for call in calls:
            call.cancel()


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGKILL, marks=pytest.mark.long), signal.SIGSEGV]
)
def test_callers_do_not_notice_that_a_server_died(tmp_path: Path, number: int) -> None:
    """Their next calls are answered by its successor, at the same addresses."""
    with supervised(tmp_path) as command:
        with gw.connect(command.target, timeout=PATIENCE) as connection:
            check(connection)
            first = command.server
            os.kill(first, number)
            check(connection)
            check(connection, "cos")
        assert command.server != first
        command.wait_for(server_restarts=1, plans_suspected=0, plans_quarantined=0)
        command.process.send_signal(signal.SIGTERM)
        _, log = command.process.communicate(timeout=PATIENCE)
        assert command.process.returncode == 0
    assert f"the server has ended: {signal.Signals(number).name}. Restart 1" in log


def test_a_call_in_flight_is_answered_by_the_successor(tmp_path: Path) -> None:
    """The client tries it again, also where it was being compiled."""
    body = chain("sin", 300, vector(3))
    slow = program(body, function([vector(3)], node("call", [0], 1, functions=[0]), results=[1]))
    with supervised(tmp_path) as command, futures.ThreadPoolExecutor(1) as pool:
        with gw.connect(command.target, timeout=PATIENCE) as connection:
            call = pool.submit(connection.compute, encode_program(slow), [X])
            command.wait_for(calls_in_flight=1)
            os.kill(command.server, signal.SIGKILL)
            wanted = X
            for _ in range(300):
                wanted = np.sin(wanted)
            np.testing.assert_allclose(call.result(PATIENCE).outputs[0], wanted, rtol=1e-9)
        command.wait_for(server_restarts=1, plans_quarantined=0)


def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """Neither the server nor a compiler, though a program runs."""
    with supervised(tmp_path) as command, running(command, [endless(0.5)]):
        server = command.server
        compilers = children_of(server)
        assert compilers
        command.process.kill()
        assert eventually(lambda: not any(map(is_alive, [server, *compilers])), PATIENCE)


@pytest.mark.long
def test_compilers_that_die_idle_cost_nothing(tmp_path: Path) -> None:
    """All of them at once: the next program finds another one."""
    with supervised(tmp_path) as command, gw.connect(command.target, timeout=PATIENCE) as called:
        check(called)
        compilers = children_of(command.server)
        assert compilers
        for pid in compilers:
            os.kill(pid, signal.SIGKILL)
        check(called)
        check(called, "cos")
        command.wait_for(
            server_restarts=0, compilers_died_total=len(compilers), compilers_killed_total=0
        )


def test_a_program_that_never_ends_is_refused(tmp_path: Path) -> None:
    """The server is replaced, others are served, and nobody runs it again."""
    with supervised(tmp_path, "--max-run-seconds", "2") as command:
        source = encode_program(endless(0.5))
        with gw.connect(command.target, timeout=PATIENCE) as connection:
            plan = connection.prepare(source)
        with (
            gw.connect(command.target) as connection,
            pytest.raises(gw.DeadlineError),
        ):
            connection.compute(source, [ONE], timeout=1.0)
        command.wait_for(server_restarts=1, plans_quarantined=1, plans_suspected=0)
        with gw.connect(command.target, timeout=PATIENCE) as connection:
            check(connection)
            with pytest.raises(gw.QuarantinedError, match="max_run_seconds") as caught:
                connection.compute(source, [ONE])
        assert caught.value.metadata == {"cause": "max_run_seconds"}
        ((listed, _, reason),) = command.quarantine("--list")
        assert (listed, reason) == (plan.id, "max_run_seconds")


def test_what_is_refused_stays_so_until_it_is_lifted(tmp_path: Path) -> None:
    """Also when the command is started again with the same cache; a lift counts at once."""
    source = encode_program(endless(0.5))
    with supervised(tmp_path) as command, running(command, [endless(0.5)]):
        os.kill(command.server, signal.SIGABRT)
        assert eventually(lambda: bool(command.quarantine("--list")), PATIENCE)
    with supervised(tmp_path) as command:
        command.wait_for(server_restarts=0, plans_quarantined=1)
        ((plan, _, reason),) = command.quarantine("--list")
        assert reason == "SIGABRT"
        with gw.connect(command.target, timeout=PATIENCE) as connection:
            with pytest.raises(gw.QuarantinedError, match="SIGABRT"):
                connection.prepare(source)
            assert command.quarantine("--lift", plan) == []

            def is_taken() -> bool:
                try:
                    return connection.prepare(source).id == plan
                except gw.QuarantinedError:
                    return False

            assert eventually(is_taken, PATIENCE)
        assert command.quarantine("--list") == []
        command.wait_for(plans_quarantined=0)


def test_a_plan_that_crashed_alone_is_refused(tmp_path: Path) -> None:
    """The error names the signal; other programs are served."""
    lonely = endless(0.5)
    with supervised(tmp_path) as command, gw.connect(command.target, timeout=PATIENCE) as other:
        with running(command, [lonely]) as calls:
            os.kill(command.server, signal.SIGSEGV)
            assert calls[0].exception(PATIENCE).code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(gw.QuarantinedError, match="SIGSEGV"):
            other.compute(encode_program(lonely), [ONE])
        check(other)
        command.wait_for(server_restarts=1, plans_quarantined=1, plans_suspected=0)


@pytest.mark.long
def test_one_of_two_that_ran_is_not_refused(tmp_path: Path) -> None:
    """Both are suspects, since either may have caused it; others run as before."""
    with supervised(tmp_path, "--max-executions", "4") as command:
        with running(command, [endless(0.5), endless(0.25)]) as calls:
            os.kill(command.server, signal.SIGSEGV)
            for call in calls:
                assert call.exception(PATIENCE).code() is grpc.StatusCode.UNAVAILABLE
        command.wait_for(server_restarts=1, plans_quarantined=0, plans_suspected=2)
        with gw.connect(command.target, timeout=PATIENCE) as connection:
            check(connection)
            assert connection.prepare(encode_program(endless(0.25))).id  # no QuarantinedError


def test_a_service_manager_may_signal_all_processes(tmp_path: Path) -> None:
    """As systemd does: the server ends in good order all the same, with status 0."""
    with supervised(tmp_path, "--drain-delay", "2") as command:
        with gw.connect(command.target) as connection:
            check(connection)
        server = command.server
        for pid in (command.process.pid, server, *children_of(server)):
            os.kill(pid, signal.SIGTERM)
        assert command.process.wait(PATIENCE) == 0
        assert eventually(lambda: not is_alive(server), PATIENCE)
