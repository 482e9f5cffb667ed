from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from gradwire_server import quarantine_command
from gradwire_server.config.settings import Settings
from gradwire_server.process.background_log import BackgroundLog
from gradwire_server.process.quarantine import Quarantine
from gradwire_server.supervise import open_quarantine

A, B = "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command sets for its process is set back."""
    monkeypatch.delenv("GRADWIRE_SERVER_CACHE_DIR", raising=False)
    monkeypatch.setattr(quarantine_command.os, "umask", lambda mask: 0)
    monkeypatch.setattr(logging, "basicConfig", lambda **values: None)


def quarantine_in(folder: Path) -> Quarantine:
    """That of servers with this cache directory."""
    settings = Settings(cache_dir=str(folder))
    return open_quarantine(settings, BackgroundLog(logging.getLogger("gradwire_server")))


def run(*arguments: str) -> int:
    return quarantine_command.main(arguments)


def test_it_lists_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each plan: its id, the seconds that are left, and the reason."""
    assert run("--list", "--cache-dir", str(tmp_path)) == 0
    assert capsys.readouterr().out == ""
    quarantine_in(tmp_path).add(A, "SIGSEGV")
    quarantine_in(tmp_path).add(B, "max_run_seconds")
    assert run("--list", "--cache-dir", str(tmp_path)) == 0
    lines = [line.split(" ") for line in capsys.readouterr().out.splitlines()]
    assert [(plan, reason) for plan, _, reason in lines] == [
        (A, "SIGSEGV"), (B, "max_run_seconds"),
    ]  # fmt: skip
    assert all(590 < int(seconds) <= 600 for _, seconds, _ in lines)


def test_it_lifts_one_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And leaves the others; the directory may come from the environment."""
    for plan in (A, B):
        quarantine_in(tmp_path).add(plan, "SIGSEGV")
    monkeypatch.setenv("GRADWIRE_SERVER_CACHE_DIR", str(tmp_path))
    assert run("--lift", A) == 0
    assert list(quarantine_in(tmp_path).plans()) == [B]
    assert capsys.readouterr() == ("", "")


def test_an_unknown_plan_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says where it was looked for."""
    quarantine_in(tmp_path).add(A, "SIGSEGV")
    assert run("--lift", B, "--cache-dir", str(tmp_path)) == 1
    path = tmp_path / "quarantine" / "plans.json"
    assert capsys.readouterr().err == (
        f"gradwire-server: the plan {B} is not quarantined in {path}\n"
    )
    assert list(quarantine_in(tmp_path).plans()) == [A]


def test_without_a_cache_there_is_nothing_to_work_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Rather than an empty list."""
    assert run("--list", "--cache-dir", "off") == 1
    assert "`cache_dir` is off" in capsys.readouterr().err


def test_a_wrong_setting_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the environment, too."""
    monkeypatch.setenv("GRADWIRE_SERVER_MAX_PLANS", "0")
    assert run("--list") == 2
    assert "`max_plans` must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--list", "--lift", A], ["--lift"], ["--no-such"]])
def test_one_thing_at_a_time(arguments: list[str]) -> None:
    """Anything else is wrong usage."""
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2


def test_it_is_a_part_of_the_servers_command(tmp_path: Path) -> None:
    """It needs no JAX, says what it can't read, and never shows a traceback."""
    folder = tmp_path / "quarantine"
    folder.mkdir()
    (folder / "plans.json").write_text("{")
    script = (
        "import sys; sys.modules['jax'] = None\n"
        "from gradwire_server.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "quarantine", "--cache-dir", str(tmp_path)]
    for action, code in (["--list"], 0), (["--lift", A], 1):
        process = subprocess.run(
            [*command, *action], capture_output=True, text=True, timeout=60, check=False
        )
        assert (process.returncode, process.stdout) == (code, "")
        assert "gradwire-server: the quarantine on disk can't be read" in process.stderr
        assert "Traceback" not in process.stderr
