from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gradwire_server.process import quarantine as module
from gradwire_server.process.background_log import BackgroundLog
from gradwire_server.process.exits import DEVICE_LOST
from gradwire_server.process.quarantine import CRASHES, Entry, Quarantine, QuarantinedPlans
from server_process import eventually

LOG = BackgroundLog(logging.getLogger("gradwire_server.quarantine"))


def make(folder: Path | None = None, seconds: float = 600.0) -> Quarantine:
    return Quarantine(folder, seconds, LOG)


@pytest.mark.parametrize("number", sorted(CRASHES))
def test_a_plan_that_crashed_alone_is_quarantined(number: signal.Signals) -> None:
    """By each of the signals that a program can cause; two of its runs are one plan."""
    quarantine = make()
    assert quarantine.note_death(-number, ["a", "a"], [])
    (entry,) = quarantine.plans().values()
    assert entry.reason == number.name
    assert 590 < entry.until - time.time() <= 600
    assert quarantine.suspects == ()


@pytest.mark.parametrize(
    ("code", "running", "suspects"),
    [
        (-signal.SIGSEGV, ["a", "b", "a"], ("a", "b")),
        (-signal.SIGKILL, ["a"], ("a",)),
        (-signal.SIGKILL, ["a", "b"], ("a", "b")),
        (-signal.SIGTERM, ["a"], ("a",)),
        (-signal.SIGSEGV, [], ()),
        (0, ["a"], ()),
        (1, ["a", "b"], ()),
        (signal.SIGSEGV, ["a"], ()),
    ],
)
def test_other_deaths_quarantine_nothing(
    code: int, running: Sequence[str], suspects: tuple[str, ...]
) -> None:
    """Where a signal ended the server, all that ran are suspects; where it ended itself, none."""
    quarantine = make()
    assert not quarantine.note_death(code, running, [])
    assert quarantine.suspects == suspects
    assert quarantine.plans() == {}


def test_plans_that_overstayed_are_quarantined() -> None:
    """All of them, and those beside them are no suspects."""
    quarantine = make()
    assert quarantine.note_death(-signal.SIGKILL, ["a", "b", "c"], ["a", "b", "a"])
    assert {plan: e.reason for plan, e in quarantine.plans().items()} == {
        "a": "max_run_seconds", "b": "max_run_seconds",
    }  # fmt: skip
    assert quarantine.suspects == ()


def test_a_lost_device_convicts_a_plan_that_was_alone_twice() -> None:
    """Once it may have failed by itself; all that ran are suspects."""
    quarantine = make()
    for running in ["a", "b"], ["a"], ["b"], ["a", "b"]:
        suspects = quarantine.suspects
        if len(running) > 1 or running[0] not in suspects:
            assert not quarantine.note_death(DEVICE_LOST, running, [])
            assert quarantine.suspects == tuple(running)
        else:
            assert quarantine.note_death(DEVICE_LOST, running, [])
            assert quarantine.suspects == ()
    assert {plan: e.reason for plan, e in quarantine.plans().items()} == {
        "a": "the device was lost, twice",
    }  # fmt: skip
    assert not quarantine.note_death(DEVICE_LOST, [], [])


def test_suspects_are_those_of_the_last_death() -> None:
    """Another death makes others, or none."""
    quarantine = make()
    quarantine.note_death(-signal.SIGKILL, ["a"], [])
    quarantine.note_death(-signal.SIGKILL, ["b"], [])
    assert quarantine.suspects == ("b",)
    quarantine.note_death(1, [], [])
    assert quarantine.suspects == ()


def test_it_survives_on_disk(tmp_path: Path) -> None:
    """For this user alone; without a folder it is kept in memory."""
    folder = tmp_path / "cache" / "quarantine"
    first = make(folder)
    first.add("a", "SIGSEGV")
    assert make(folder).plans() == first.plans()
    assert first.file is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["plans.json"]
    alone = make()
    alone.add("a", "SIGSEGV")
    assert (list(alone.plans()), alone.file) == (["a"], None)
    assert make().plans() == {}


def test_entries_expire(tmp_path: Path) -> None:
    """In memory and on disk; the next write drops them."""
    quarantine = make(tmp_path, seconds=1.0)
    quarantine.add("a", "SIGSEGV")
    assert list(quarantine.plans()) == ["a"]
    time.sleep(1.05)
    assert quarantine.plans() == {}
    assert make(tmp_path).plans() == {}
    quarantine.add("b", "SIGSEGV")
    assert list(json.loads((tmp_path / "plans.json").read_text())) == ["b"]


def test_entries_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound all are kept, past it those that expire last."""
    monkeypatch.setattr(module, "_MAX_ENTRIES", 3)
    quarantine = make(tmp_path)
    for plan in "abcd":
        quarantine.add(plan, "SIGSEGV")
        assert len(quarantine.plans()) <= 3
    assert list(make(tmp_path).plans()) == ["b", "c", "d"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a": 1}', '{"a": [1]}', '{"a": ["x", "y"]}', '{"a": null}', "\xff"]
)
def test_a_damaged_file_is_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """With a warning; the next write makes a good one."""
    (tmp_path / "plans.json").write_text(text, encoding="latin-1")
    quarantine = make(tmp_path)
    assert quarantine.plans() == {}
    assert LOG.wait(10)
    assert "the quarantine on disk can't be read" in caplog.text
    quarantine.add("a", "SIGSEGV")
    assert list(make(tmp_path).plans()) == ["a"]


def test_links_are_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither as the file nor as its folder: what they lead to is not read and not written."""
    other = tmp_path / "other"
    text = '{"a": [9999999999, "SIGSEGV"]}'
    other.mkdir(mode=0o700)
    (other / "plans.json").write_text(text)
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    (folder / "plans.json").symlink_to(other / "plans.json")
    assert make(folder).plans() == {}
    make(folder).add("b", "SIGSEGV")
    assert list(make(folder).plans()) == ["b"]
    link = tmp_path / "link"
    link.symlink_to(other)
    quarantine = make(link)
    quarantine.add("c", "SIGSEGV")
    assert (list(quarantine.plans()), quarantine.file) == (["c"], None)
    assert LOG.wait(10)
    assert f"the quarantine is not kept on disk: {link} is a link" in caplog.text
    assert (other / "plans.json").read_text() == text


def test_a_plan_can_be_lifted(tmp_path: Path) -> None:
    """Also one that another process put there; whether it was in is said."""
    make(tmp_path).add("a", "SIGSEGV")
    quarantine = make(tmp_path)
    assert not quarantine.lift("b")
    assert quarantine.lift("a")
    assert not quarantine.lift("a")
    assert make(tmp_path).plans() == {}


def test_a_plan_that_was_lifted_stays_out(tmp_path: Path) -> None:
    """A supervisor that knew it doesn't write it again, and tells no server of it."""
    supervisor = make(tmp_path)
    supervisor.add("a", "SIGSEGV")
    supervisor.add("b", "SIGSEGV")
    assert make(tmp_path).lift("a")
    assert list(supervisor.plans()) == ["b"]
    supervisor.add("c", "SIGSEGV")
    assert list(make(tmp_path).plans()) == ["b", "c"]


def test_supervisors_share_a_file(tmp_path: Path) -> None:
    """None takes out what another has put in."""
    one, other = make(tmp_path), make(tmp_path)
    one.add("a", "SIGSEGV")
    other.add("b", "SIGBUS")
    one.add("c", "SIGSEGV")
    assert set(one.plans()) == set(other.plans()) == {"a", "b", "c"}


WRITER = """
import logging, sys
from pathlib import Path
from gradwire_server.process.background_log import BackgroundLog
from gradwire_server.process.quarantine import Quarantine
quarantine = Quarantine(Path(sys.argv[1]), 600.0, BackgroundLog(logging.getLogger("test")))
for number in range(100):
    quarantine.add(f"{sys.argv[2]}{number}", "SIGSEGV")
"""


def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """Nor do the threads of one."""
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    processes = [subprocess.Popen([*words, name]) for name in "ab"]
    quarantines = [make(tmp_path), make(tmp_path)]

    def write(number: int) -> None:
        for entry in range(100):
            quarantines[number].add(f"{number}-{entry}", "SIGSEGV")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(make(tmp_path).plans()) == 400
    assert [path.name for path in tmp_path.iterdir()] == ["plans.json"]


def test_one_that_hangs_with_the_file_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it is written all the same."""
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.2)
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    start = time.monotonic()
    make(tmp_path).add("a", "SIGSEGV")
    assert 0.2 <= time.monotonic() - start < 10.0
    os.close(folder)
    assert list(make(tmp_path).plans()) == ["a"]


def test_a_disk_that_takes_nothing_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What can't be written is kept in memory, and written when it can be."""
    (tmp_path / "folder").touch()
    quarantine = make(tmp_path / "folder")
    quarantine.add("a", "SIGSEGV")
    assert list(quarantine.plans()) == ["a"]
    assert quarantine.file is None
    assert LOG.wait(10)
    assert "the quarantine is not kept on disk" in caplog.text
    (tmp_path / "folder").unlink()
    quarantine.add("b", "SIGSEGV")
    assert list(make(tmp_path / "folder").plans()) == ["a", "b"]


def test_a_server_refuses_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it expires; without a file nothing is read."""
    now = time.time()
    plans = QuarantinedPlans({"a": Entry(now + 1.0, "SIGSEGV"), "b": Entry(now + 60, "SIGBUS")})
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    assert plans.find("a") == Entry(now + 1.0, "SIGSEGV")
    assert plans.find("c") is None
    assert len(plans) == 2
    assert eventually(lambda: plans.find("a") is None)
    assert plans.find("b") is not None
    assert len(plans) == 1


def test_a_server_sees_that_a_plan_was_lifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks once a second at most; one that was put there later is not its affair."""
    quarantine = make(tmp_path)
    quarantine.add("a", "SIGSEGV")
    quarantine.add("b", "SIGSEGV")
    plans = QuarantinedPlans(quarantine.plans(), str(quarantine.file))
    assert make(tmp_path).lift("a")
    make(tmp_path).add("c", "SIGSEGV")
    assert plans.find("a") is not None
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    assert plans.find("a") is None
    assert plans.find("b") is not None
    assert plans.find("c") is None
    assert len(plans) == 1


def test_a_damaged_file_lifts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was removed lifts all."""
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    quarantine = make(tmp_path)
    quarantine.add("a", "SIGSEGV")
    plans = QuarantinedPlans(quarantine.plans(), str(quarantine.file))
    (tmp_path / "plans.json").write_text("{")
    assert plans.find("a") is not None
    (tmp_path / "plans.json").unlink()
    assert plans.find("a") is None
