"""A supervisor as a process, and tiny programs in place of servers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gradwire_server.process import supervisor
from gradwire_server.process.supervisor import Pause
from server_process import eventually, is_alive
from supervisors import SERVER, Supervised

SERVES = SERVER + "listen()\nwait()\n"
IGNORES_SIGNALS = SERVER + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nlisten()\nwait()\n"

Start = Callable[..., Supervised]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts supervisors, which end with the test."""
    made: list[Supervised] = []

    def run(*scripts: str, **options: Any) -> Supervised:
        made.append(Supervised(tmp_path, scripts, **options))
        return made[-1]

    yield run
    for supervised in made:
        supervised.process.kill()
        supervised.process.communicate()


def test_a_server_that_dies_is_replaced(start: Start) -> None:
    """The next one is given the first one's addresses, which are announced once."""
    dies = SERVER + "listen('host:1')\ntime.sleep(0.2)\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    fails = SERVER + "listen('host:2')\nsys.exit(3)\n"
    supervised = start(dies, fails, SERVES)
    assert supervised.wait_until_ready() == {"listening": "host:1", "metrics": None}
    assert eventually(lambda: len(supervised.events("start")) == 3, 30)
    assert supervised.events("start") == [None, ["host:1", None], ["host:1", None]]
    assert supervised.events("death") == [-signal.SIGSEGV, 3]
    supervised.process.send_signal(signal.SIGTERM)
    _, output, log = supervised.end()
    assert output == ""
    assert log.splitlines()[:2] == [
        "the server has ended: SIGSEGV. Restart 1",
        "the server has ended: exit status 3. Restart 2",
    ]


def test_a_signal_is_passed_on_once_and_a_second_one_kills(start: Start) -> None:
    """Whatever the server makes of the first; the status is that of the second."""
    script = (
        SERVER
        + """
def note(number, _):
    with open(folder / "signals", "a") as file:
        print(signal.Signals(number).name, file=file)

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, note)
listen()
wait()
"""
    )
    supervised = start(script)
    supervised.wait_until_ready()
    supervised.process.send_signal(signal.SIGINT)
    assert eventually(lambda: bool(supervised.file("signals")))
    time.sleep(1.0)  # another turn of the loop or two
    assert supervised.process.poll() is None
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.end() == (128 + signal.SIGTERM, "", "")
    assert supervised.file("signals").split() == ["SIGINT"]


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ("os._exit(0)", 0),
        ("os._exit(1)", 1),
        ("os._exit(2)", 2),
        ("crash()", 128 + signal.SIGKILL),
        ("(signal.signal(15, signal.SIG_DFL), os.kill(os.getpid(), 15))", 128 + signal.SIGTERM),
    ],
)
def test_the_exit_status_is_the_servers(start: Start, ends: str, status: int) -> None:
    """Where it was told to end; 128 and the number where a signal ended it, as in a shell."""
    script = f"{SERVER}signal.signal(signal.SIGTERM, lambda *_: {ends})\nlisten()\nwait()\n"
    supervised = start(script)
    supervised.wait_until_ready()
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.end() == (status, "", "")
    assert supervised.events("death") == []


def test_a_server_that_is_told_to_end_while_it_starts_ends_well(start: Start) -> None:
    """Before it obeys signals the first one ends it; status 0, as for one in a container."""
    supervised = start(SERVER + "(folder / 'pid').write_text(str(os.getpid()))\nwait()\n")
    assert eventually(lambda: bool(supervised.file("pid")), 30)
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.end() == (0, "", "")


@pytest.mark.parametrize(("ends", "status"), [("sys.exit(2)", 2), ("crash()", 137)])
def test_a_server_that_never_listens_is_not_replaced(start: Start, ends: str, status: int) -> None:
    """Its settings are wrong, and would be wrong again."""
    supervised = start(SERVER + ends)
    assert supervised.end() == (status, "", "")
    assert supervised.events("start") == [None]


def test_it_gives_up_after_failed_starts(start: Start) -> None:
    """As many in a row as a constant says; one that listens in between begins a new row."""
    fails, dies = SERVER + "sys.exit(4)\n", SERVER + "listen()\ncrash()\n"
    supervised = start(
        dies, fails, dies, fails, constants={"_MAX_FAILED_STARTS": 2, "_FIRST_PAUSE_SECONDS": 0.01}
    )
    status, _, log = supervised.end()
    assert status == 1
    assert supervised.events("death") == [-9, 4, -9, 4]  # and another 4, with which it ends
    assert log.splitlines()[-1] == "the server can't be started any more"


def test_it_ends_while_it_waits_for_the_next_start(start: Start) -> None:
    """At once, with the status of the signal."""
    supervised = start(SERVER + "listen()\ncrash()\n", constants={"_FIRST_PAUSE_SECONDS": 60.0})
    assert eventually(lambda: len(supervised.events("death")) == 2, 30)
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.end()[0] == 128 + signal.SIGTERM


def test_a_death_whose_cause_is_known_delays_no_start(start: Start) -> None:
    """Its program is refused from now on; each other death makes the next pause longer."""
    dies = SERVER + "(folder / 'found').touch()\nlisten()\ncrash()\n"
    supervised = start(dies, dies, dies, SERVES, constants={"_FIRST_PAUSE_SECONDS": 60.0})
    assert eventually(lambda: len(supervised.events("start")) == 4, 30)
    supervised.process.send_signal(signal.SIGTERM)
    supervised.end()  # the last one may not obey signals yet


def test_a_server_that_overstays_is_killed(start: Start) -> None:
    """Once, whatever it does with signals; another is started."""
    supervised = start(IGNORES_SIGNALS, SERVES)
    supervised.wait_until_ready()
    (supervised.folder / "overstay").touch()
    assert eventually(lambda: len(supervised.events("start")) == 2, 30)
    assert supervised.events("death") == [-signal.SIGKILL]
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.end()[2].count("the server is killed: it overstays") == 1


def test_a_server_that_does_not_end_is_killed(start: Start) -> None:
    """When the time is over that it may take."""
    supervised = start(IGNORES_SIGNALS, stop_seconds=0.6)
    supervised.wait_until_ready()
    begun = time.monotonic()
    supervised.process.send_signal(signal.SIGTERM)
    status, _, log = supervised.end()
    assert time.monotonic() - begun > 0.6
    assert (status, log) == (137, "the server is killed: it was told to end 0.6 s ago\n")
    assert supervised.events("death") == []


def test_the_server_ends_with_a_supervisor_that_is_killed(start: Start) -> None:
    """It sees the end of its stdin."""
    supervised = start(SERVES)
    supervised.wait_until_ready()
    pid = supervised.pid()
    assert is_alive(pid)
    supervised.process.kill()
    assert eventually(lambda: not is_alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_orphans_are_reaped(start: Start) -> None:
    """As process 1 of a container it gets those of the servers that died."""
    script = (
        SERVER
        + """
orphan = subprocess.Popen(["sleep", "1"])
(folder / "orphan").write_text(str(orphan.pid))
listen()
crash()
"""
    )
    supervised = start(script, SERVES, adopts=True)
    assert eventually(lambda: len(supervised.events("start")) == 2, 30)
    orphan = int(supervised.file("orphan"))
    assert eventually(lambda: not Path(f"/proc/{orphan}").exists(), 30)  # not even as a zombie
    assert supervised.process.poll() is None


def test_what_else_is_written_to_stdout_is_dropped(start: Start) -> None:
    """Before the addresses and after them; a server is not blocked by it."""
    script = (
        SERVER
        + """
print("a library greets", flush=True)
print('["1"]', flush=True)
listen()
print("x" * 10**6, flush=True)
(folder / "written").write_text("all")
wait()
"""
    )
    supervised = start(script)
    assert supervised.wait_until_ready()["listening"] == "host:1"
    assert eventually(lambda: supervised.file("written") == "all", 30)
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.end() == (143, "", "")


def test_nobody_need_read_the_addresses(start: Start) -> None:
    """A pipe that was closed ends neither."""
    supervised = start(SERVER + "time.sleep(0.5)\nlisten()\nwait()\n")
    assert supervised.process.stdout is not None
    supervised.process.stdout.close()
    pid = supervised.pid()
    time.sleep(1.0)
    assert is_alive(pid)
    assert supervised.process.poll() is None


def test_pauses_grow_with_deaths_that_come_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start is at once, the pause is bounded, and a long life forgets it."""
    monkeypatch.setattr(supervisor, "_LONGEST_PAUSE_SECONDS", 0.5)
    pause = Pause()
    assert [pause.after(1.0) for _ in range(6)] == [0.0, 0.1, 0.2, 0.4, 0.5, 0.5]
    assert pause.after(60.0) == 0.0
    assert [pause.after(59.0) for _ in range(3)] == [0.0, 0.1, 0.2]


def test_it_needs_the_standard_library_alone() -> None:
    """So that it lives on where a server dies."""
    code = (
        "import sys, gradwire_server.process.supervisor, gradwire_server.process.quarantine; "
        "assert not {'grpc', 'jax', 'numpy', 'google', 'gradwire'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)
