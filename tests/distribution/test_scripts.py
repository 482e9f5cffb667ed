"""The shell scripts: what they do when a command fails, or a package is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STRICT = ROOT / "scripts" / "strict.sh"
USED = ("bash", "cat", "dirname", "env", "grep")
"""The programs that the scripts run here use beside those that a test makes up."""


def shell_scripts() -> list[Path]:
    """Every program written for a shell."""
    files = [path for name in (".ci", "deploy", "scripts") for path in (ROOT / name).rglob("*")]
    return [
        path
        for path in files
        if path.is_file() and path.read_bytes().partition(b"\n")[0].endswith(b"sh")
        if path.read_bytes().startswith(b"#!")
    ]


class Machine:
    """A PATH that holds a few programs, all others being missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in USED:
            found = shutil.which(name)
            assert found
            (folder / name).symlink_to(found)

    def add(self, name: str, body: str) -> None:
        """Puts a program there, which notes its arguments."""
        path = self.folder / name
        path.write_text(f'#!/usr/bin/env bash\necho {name} "$*" >>"$CALLS"\n{body}\n')
        path.chmod(0o755)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs a script on it."""
        environment = {"PATH": str(self.folder), "CALLS": str(self.folder / "calls")}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    @property
    def calls(self) -> list[str]:
        """What was run of the programs that were added."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "bin")


@pytest.fixture
def debian(machine: Machine) -> Machine:
    """Root's Debian where `tar` is installed, `vim` was removed and all else is unknown."""
    machine.add("id", "echo 0")
    machine.add("apt-get", "")
    machine.add(
        "dpkg-query",
        'case "${*: -1}" in tar) echo installed ;; vim) echo config-files ;;'
        ' *) echo "no packages found matching ${*: -1}" >&2; exit 1 ;; esac',
    )
    return machine


@pytest.mark.parametrize("script", shell_scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_begins_by_being_strict(script: Path) -> None:
    """Before its first command; what runs in another's image does so by itself."""
    first, *rest = script.read_text().splitlines()
    code = [line for line in rest if line and not line.startswith("#")]
    if script.name == "drain.sh":
        assert first == "#!/bin/bash"
        assert code[0] == "set -Eeuo pipefail"
        assert code[1].startswith("trap ")
        assert code[1].endswith(" ERR")
    else:
        assert first == "#!/usr/bin/env bash"
        assert code[0] in (
            'source "$(dirname "$0")/strict.sh" || exit',
            'cd "$(dirname "$0")/.." && source scripts/strict.sh || exit',
            'cd "$(dirname "$0")/../.." && source scripts/strict.sh || exit',
        )
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("bash -c 'exit 7'", "line 2: status 7: bash -c 'exit 7'"),
        ("f() {\n  false\n}\nf", "line 3, called in line 5: status 1: false"),
        ("x=$(false; echo after)", "line 2: status 1: false"),
        ("(cd /; false)", "line 2: status 1: false"),
        ("grep nothing <<<some | cat", "line 2: status 1 (of a pipeline: 1 0): cat"),
        ("[ 1 = 2 ]", "line 2: status 1: [ 1 = 2 ]"),
        ("no-such-program", "line 2: status 127: no-such-program"),
    ],
)
def test_the_command_that_failed_is_named(
    machine: Machine, tmp_path: Path, body: str, said: str
) -> None:
    """With its script, line, callers and status, and nothing runs after it."""
    script = tmp_path / "script"
    script.write_text(f"source {STRICT} || exit\n{body}\necho after\n")
    done = machine.run("bash", script)
    assert f"gradwire: {script} failed in {said}\n" in done.stderr
    assert done.stdout == ""
    assert done.returncode == (int(said.split("status ")[1].split(":")[0].split(" ")[0]))


def test_what_stands_in_a_condition_may_fail(machine: Machine, tmp_path: Path) -> None:
    """Nothing is said about it."""
    script = tmp_path / "script"
    script.write_text(f"source {STRICT} || exit\nif false; then :; fi\nfalse || echo after\n")
    done = machine.run("bash", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "after\n", "")


def test_packages_that_dpkg_does_not_know_are_installed(debian: Machine) -> None:
    """As all of them are unknown to a fresh machine; those that are there are left alone."""
    done = debian.run(ROOT / "scripts" / "install-packages", "podman", "tar", "vim", "no-such")
    assert done.returncode == 0, done.stderr
    *_, update, install = debian.calls
    assert update.startswith("apt-get update ")
    assert install.startswith("apt-get install ")
    assert install.endswith(" podman vim no-such")


def test_nothing_is_installed_where_nothing_is_missing(debian: Machine) -> None:
    """Not even apt's lists are renewed."""
    done = debian.run(ROOT / "scripts" / "install-packages", "tar")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [call.split()[0] for call in debian.calls] == ["dpkg-query"]


def test_a_package_that_cannot_be_installed_is_an_error(debian: Machine) -> None:
    """Lists that can't be renewed alone are none."""
    debian.add("apt-get", '[ "$1" != update ]')
    assert debian.run(ROOT / "scripts" / "install-packages", "podman").returncode == 0
    debian.add("apt-get", '[ "$1" != install ] || exit 100')
    done = debian.run(ROOT / "scripts" / "install-packages", "podman")
    assert done.returncode == 100
    assert "install-packages failed in line" in done.stderr


def test_who_may_not_install_is_told_what_to(machine: Machine, debian: Machine) -> None:
    """Whoever isn't root, or has no apt-get, learns the names."""
    debian.add("id", "echo 1000")
    done = debian.run(ROOT / "scripts" / "install-packages", "tar", "podman")
    assert done.returncode == 1
    assert "run: apt-get install podman\n" in done.stderr
    (machine.folder / "apt-get").unlink()
    (machine.folder / "dpkg-query").unlink()
    done = machine.run(ROOT / "scripts" / "install-packages", "podman")
    assert done.returncode == 1
    assert "missing: podman. There is no apt-get" in done.stderr


def test_ci_names_the_step_that_failed(machine: Machine) -> None:
    """After the times of those before it; none comes after it."""
    machine.add("npx", "")
    machine.add("make", '[ "$1" != test-wheel ] || exit 2')
    done = machine.run(ROOT / ".ci" / "run")
    assert done.returncode == 2
    assert machine.calls[-1] == "make test-wheel"
    *_, last = done.stdout.splitlines()
    assert re.fullmatch(r"== CI: FAILED after \d+ s: make test-wheel: status 2", last)
    assert " s  make test\n" in done.stdout
    assert " s  make test-wheel" not in done.stdout


def test_ci_installs_node_where_there_is_none(debian: Machine) -> None:
    """Before the steps that need it, whose times it prints at the end."""
    debian.add("make", "")
    done = debian.run(ROOT / ".ci" / "run")
    assert done.returncode == 0, done.stderr
    installed = next(i for i, call in enumerate(debian.calls) if call.endswith(" nodejs npm"))
    made = debian.calls[installed + 1 :]
    assert made[0] == "make check"
    assert all(f" s  {call}\n" in done.stdout for call in made)
