"""The command under programs that kill or block XLA, while others compute."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import gradwire as gw
from killers import KILLERS, Killer, data_of
from server_process import eventually, start_script
from supervised_command import SupervisedCommand
from well_behaved import Clients, Outcome, call, new_task, problems

SENDER = "import sys; from killers import main; main(*sys.argv[1:])"
TYPED = {
    "LimitExceededError",
    "QuarantinedError",
    "DeadlineError",
    "UnsupportedError",
    "InvalidProgramError",
    "InvalidInputError",
    "OverloadedError",
    "OutOfMemoryError",
}
BOUNDS = [
    *("--max-compile-seconds", "10"),
    *("--max-compile-bytes", "1200000000"),
    *("--max-run-seconds", "4"),
    *("--max-executions", "2"),
    *("--compile-workers", "2"),
    *("--max-device-bytes", str(2**31)),
]
SECONDS = 90.0
"""How long one killer may take to have its answer, and one call of a well-behaved client."""


@dataclass(frozen=True)
class Report:
    """What a killer has cost.

    Attributes:
        answers: What its sender got, twice.
        clients: The well-behaved ones.
        next_ready: A new program after it, of another caller.
        log: What the server's processes wrote.
    """

    answers: list[str]
    clients: Clients
    next_ready: Outcome
    log: str

    def __str__(self) -> str:
        slowest = max(outcome.seconds for outcome in self.clients.outcomes)
        return (
            f"{', '.join(self.answers)} | {len(problems(self.clients))} errors in "
            f"{len(self.clients.outcomes)} calls, slowest {slowest:.1f} s | "
            f"{self.next_ready.seconds:.1f} s | restarts {self.log.count('the server has ended')}"
        )


def send(killer: Killer, target: str) -> list[str]:
    """Sends a killer twice at a time, from a process of its own; returns what it got."""
    sender = start_script(SENDER, target, killer.name, str(SECONDS))
    try:
        output, errors = sender.communicate(timeout=SECONDS + 30)
    except subprocess.TimeoutExpired:
        return ["HANGS"]
    finally:
        sender.kill()
        sender.communicate()
    return output.splitlines() or [errors]


def attack(killers: list[Killer], folder: Path) -> Iterator[Report]:
    """Sends one killer after the other to one server, and reports on each."""
    rng = np.random.default_rng(0)
    with SupervisedCommand(folder, *BOUNDS) as command, gw.connect(command.target) as other:
        for killer in killers:
            begin = command.log.stat().st_size
            with Clients(command.target, timeout=SECONDS) as clients:
                assert eventually(lambda: len(clients.outcomes) > 10, SECONDS)
                answers = send(killer, command.target)
                assert eventually(lambda: len(clients.outcomes) > 20, SECONDS)
                next_ready = call(other, new_task(), rng, SECONDS)
            log = command.log.read_text(errors="replace")[begin:]
            yield Report(answers, clients, next_ready, log)


def check(killer: Killer, report: Report, seconds: float) -> None:
    """Checks that it had typed errors, and others right values."""
    print(f"{killer.name}: {report}")
    allowed = TYPED | ({"answered"} if killer.ends else set())
    assert len(report.answers) == 2
    assert {answer.split()[0] for answer in report.answers} <= allowed
    assert not problems(report.clients)
    assert len(report.clients.outcomes) > 20
    assert not report.next_ready.error
    assert not report.next_ready.wrong
    assert report.next_ready.seconds < seconds


def test_others_compute_on_beside_killers(tmp_path: Path) -> None:
    """A long compile costs its caller an error, an endless run a restart that others wait for."""
    chosen = [killer for killer in KILLERS if killer.in_short]
    for killer, report in zip(chosen, attack(chosen, tmp_path), strict=True):
        check(killer, report, 60.0)


@pytest.mark.long
@pytest.mark.parametrize("killer", KILLERS, ids=lambda killer: killer.name)
def test_each_killer_costs_its_caller_alone(killer: Killer, tmp_path: Path) -> None:
    """Soon after it, a new program of another caller is ready."""
    for report in attack([killer], tmp_path):
        check(killer, report, 5.0)


def test_a_run_that_crashes_is_quarantined(tmp_path: Path) -> None:
    """Others' calls go on after the restart, or after two, and nothing else is refused."""
    (killer,) = [killer for killer in KILLERS if killer.name == "endless loop"]
    bounds = [*BOUNDS, "--max-run-seconds", "600"]
    with SupervisedCommand(tmp_path, *bounds) as command, gw.connect(command.target) as victim:
        with Clients(command.target, timeout=SECONDS) as clients, ThreadPoolExecutor(1) as pool:
            data, inputs = data_of(killer, 0)
            future = pool.submit(victim.compute, data, inputs, timeout=SECONDS)
            while not future.done():
                server = command.server()
                if server is not None and _runs_long(command):
                    os.kill(server, signal.SIGSEGV)
                    assert eventually(lambda old=server: command.server() != old)
            with pytest.raises(gw.QuarantinedError, match="SIGSEGV"):
                future.result()
            time.sleep(1.0)
        assert not problems(clients)
        assert len(command.quarantined()) == 1


def _runs_long(command: SupervisedCommand) -> bool:
    """Says whether some program runs for longer than the small ones do."""
    for _ in range(10):
        time.sleep(0.1)
        try:
            with urllib.request.urlopen(f"{command.metrics}/metrics", timeout=5) as page:
                if b"\ngradwire_executions_running 0.0\n" in page.read():
                    return False
        except OSError:  # there is no server now
            return False
    return True
