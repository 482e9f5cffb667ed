"""The command while its processes die and stop, and its connections are cut."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from chaos import Chaos
from gradwire_server.runtime.store import Store
from supervised_command import SupervisedCommand
from tcp_proxy import TcpProxy
from well_behaved import KINDS, Clients, Task, new_task, problems

FLAGS = ["--max-plans", "3", "--max-executions", "2", "--compile-workers", "2"]
TIMEOUT = 90.0
"""Seconds for one call: longer than the supervisor's longest pause and a start together, so
that a server is up within it."""
SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "300"))


def _check(folder: Path, seconds: float, *, kills_supervisors: bool, **calls_are: Any) -> None:
    """Calls for so many seconds; see ``Clients`` for how."""
    with SupervisedCommand(folder, *FLAGS) as command, TcpProxy(command.socket) as proxy:
        clients = Clients(proxy.address, timeout=TIMEOUT, seed=SEED, **calls_are)
        calls = clients.outcomes
        chaos = Chaos(command, proxy, SEED, calls.__len__, kills_supervisors=kills_supervisors)
        with clients:
            chaos.go_on_for(seconds)
        quarantined = command.quarantined()
    slowest = max(outcome.seconds for outcome in calls)
    print(f"{dict(chaos.done)}; {len(calls)} calls, slowest {slowest:.1f} s")
    assert not problems(clients)
    assert not quarantined
    assert len(calls) > 20
    assert sum(chaos.done.values()) > seconds / 10


def test_every_value_is_right_while_things_break(tmp_path: Path) -> None:
    """Whatever is killed, stopped, cut or evicted, each call has the right answer in time."""
    _check(tmp_path, 15.0, kills_supervisors=False, newcomers=10)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_every_value_is_right_for_long(tmp_path: Path) -> None:
    """The same for CHAOS_SECONDS from CHAOS_SEED, and with supervisors that are killed."""
    _check(tmp_path, SECONDS, kills_supervisors=True, newcomers=200, pause=0.0)


def test_the_check_finds_a_wrong_value(tmp_path: Path) -> None:
    """An executable that was stored under the key of another is noticed by what it computes."""
    tasks = [new_task(KINDS[0]) for _ in range(2)]
    with SupervisedCommand(tmp_path, *FLAGS) as command:
        assert not problems(_compute(command, tasks))
    _exchange(*command.cached())
    with command:
        found = problems(_compute(command, tasks))
    assert found
    assert all("not [" in problem for problem in found)


def _compute(command: SupervisedCommand, tasks: list[Task]) -> Clients:
    """Has clients compute until there are some outcomes."""
    with Clients(command.target, count=2, tasks=tasks, newcomers=10**9) as clients:
        while len(clients.outcomes) < 20:
            time.sleep(0.05)
    return clients


def _exchange(*files: Path) -> None:
    """Writes the executable in each of two files under the key of the other, and its digest."""
    store = Store(files[0].parent, 2**30)
    first, second = map(_key, files)
    values = store.read(first), store.read(second)
    assert values[0] is not None
    assert values[1] is not None
    store.write(first, values[1])
    store.write(second, values[0])


def _key(file: Path) -> bytes:
    """The key in a file of the store: behind a line, a digest of 32 bytes, and its length."""
    content = file.read_bytes()
    start = content.index(b"\n") + 1 + 32
    length = int.from_bytes(content[start : start + 8], "little")
    return content[start + 8 : start + 8 + length]
