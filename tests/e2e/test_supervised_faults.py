"""The command where programs fail in their own ways: on the device, or while they are compiled."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import gradwire as gw
from gradwire.ir import encode_program
from poisoned import poison
from programs import chain, program, vector
from server_process import COMMAND, eventually
from supervised_command import SupervisedCommand

PATIENCE = 60.0
X = np.array([0.5, -1.0, 2.0])


def check(connection: gw.Connection, op: str = "sin") -> None:
    """Calls a program of one op, and compares with NumPy."""
    reply = connection.compute(encode_program(program(chain(op, 1, vector(3)))), [X])
    np.testing.assert_allclose(reply.outputs[0], getattr(np, op)(X), rtol=1e-12)


def metrics(command: SupervisedCommand) -> dict[str, float]:
    """Those without labels; none while no server answers."""
    try:
        with urllib.request.urlopen(f"{command.metrics}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
    except OSError:
        return {}
    pairs = [line.split() for line in lines if line[0] != "#" and "{" not in line]
    return {name.removeprefix("gradwire_"): float(value) for name, value in pairs}


def wait_for(command: SupervisedCommand, **wanted: float) -> None:
    """Waits until metrics have these values."""
    assert eventually(lambda: metrics(command).items() >= wanted.items(), PATIENCE), (
        metrics(command),
        wanted,
    )


def lift(folder: Path, plan: str) -> None:
    """Runs ``gradwire-server quarantine --lift``."""
    words = [*COMMAND, "quarantine", "--cache-dir", str(folder / "cache"), "--lift", plan]
    subprocess.run(words, capture_output=True, timeout=PATIENCE, check=True)


@pytest.mark.long
def test_a_compile_that_took_too_long_is_refused_by_the_next_server(tmp_path: Path) -> None:
    """With the error that names the bound, until it is lifted."""
    source = encode_program(program(chain("tanh", 8000, vector())))
    with (
        SupervisedCommand(tmp_path, "--max-compile-seconds", "2") as command,
        gw.connect(command.target, timeout=PATIENCE) as connection,
    ):

        def refuse(kills: int) -> None:
            with pytest.raises(gw.LimitExceededError, match="`max_compile_seconds` is 2 "):
                connection.prepare(source)
            assert metrics(command)["compilers_killed_total"] == kills

        refuse(1)
        refuse(1)
        server = command.server()
        assert server is not None
        os.kill(server, signal.SIGKILL)
        check(connection)
        refuse(0)
        wait_for(command, server_restarts=1, plans_quarantined=0)
        ((name, (_, reason)),) = command.quarantined().items()
        assert reason == "max_compile_seconds=2"
        lift(tmp_path, name.partition("/")[0])
        assert command.quarantined() == {}

        def is_tried_again() -> bool:
            with pytest.raises(gw.LimitExceededError):
                connection.prepare(source)
            return metrics(command)["compilers_killed_total"] == 1

        assert eventually(is_tried_again, PATIENCE)


LOST = """
import os
if "GRADWIRE_SUPERVISION" in os.environ:
    import jax
    from gradwire_server.runtime import devices, executable

    run, works = executable.Executable.__call__, devices.DeviceProbe.works
    left, lost = os.environ["LOSSES"], False

    def fail(self, arguments):
        global lost
        is_of_the_test = arguments[0].tolist() == [0.5, -1.0, 2.0]
        if is_of_the_test and os.path.exists(left) and os.path.getsize(left):
            lost = True
            os.truncate(left, os.path.getsize(left) - 1)
        if lost:
            raise jax.errors.JaxRuntimeError("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS")
        return run(self, arguments)

    executable.Executable.__call__ = fail
    devices.DeviceProbe.works = lambda self: works(self) and not lost
"""
"""Makes servers lose their device: in the next run, as often as a file has bytes."""


@pytest.fixture
def losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file for servers that lose their device."""
    (tmp_path / "sitecustomize.py").write_text(LOST)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("LOSSES", str(tmp_path / "losses"))
    return tmp_path / "losses"


def test_a_server_whose_device_is_lost_is_replaced(tmp_path: Path, losses: Path) -> None:
    """And the call that met it is answered by the next one."""
    with (
        SupervisedCommand(tmp_path) as command,
        gw.connect(command.target, timeout=PATIENCE) as connection,
    ):
        check(connection)
        losses.write_bytes(b"1")
        check(connection)
        wait_for(command, server_restarts=1, plans_suspected=0, plans_quarantined=0)
    log = command.log.read_text()
    assert log.count("the server has ended: exit status 75, its device was lost") == 1
    assert log.count("the device computes nothing any more") == 1


@pytest.mark.long
def test_a_plan_that_loses_the_device_twice_is_refused(tmp_path: Path, losses: Path) -> None:
    """If it was alone both times; others are served."""
    with (
        SupervisedCommand(tmp_path) as command,
        gw.connect(command.target, timeout=PATIENCE) as connection,
    ):
        losses.write_bytes(b"22")
        with pytest.raises(gw.QuarantinedError, match="the device was lost, twice"):
            check(connection)
        check(connection, "cos")
        wait_for(command, server_restarts=2, plans_suspected=0, plans_quarantined=1)


@pytest.mark.long
def test_an_executable_that_kills_at_load_is_blamed_and_made_anew(tmp_path: Path) -> None:
    """Its plan is refused until it is lifted, and compiled then; others are served."""
    with SupervisedCommand(tmp_path) as command, gw.connect(command.target) as connection:
        check(connection)
        (file,) = command.cached()
        server = command.server()
        assert server is not None
        poison(file)
        os.kill(server, signal.SIGKILL)
        with pytest.raises(gw.QuarantinedError, match="SIGSEGV"):
            check(connection)
        check(connection, "cos")
        ((plan, (_, reason)),) = command.quarantined().items()
        assert reason == "SIGSEGV"
        wait_for(command, server_restarts=2, plans_quarantined=1, plans_suspected=0)
        lift(tmp_path, plan)
        assert eventually(lambda: _is_taken(connection), PATIENCE)
        check(connection)
        wait_for(command, server_restarts=2, plans_quarantined=0)
    assert "a process has ended while it loaded" in command.log.read_text()


def _is_taken(connection: gw.Connection) -> bool:
    try:
        check(connection)
    except gw.QuarantinedError:
        return False
    return True
