"""The private server: it starts by itself, and ends with its owner, however that ends."""

from __future__ import annotations

import gc
import os
import signal
import stat
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradwire as gw
from gradwire.errors import UnavailableError
from gradwire.ir import encode_program
from gradwire.transport import child_process
from gradwire.transport.default_connection import current_connection
from programs import chain, program, vector
from server_process import eventually, processes_of, run_script, start_script

PROGRAM = encode_program(program(chain("sin", 1, vector(3))))
X = np.arange(3.0)

# What every program of these tests begins with.
PRELUDE = """
import multiprocessing, os, signal, sys, threading, time

# A parent may have had it ignored, as shells do for what runs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
import gradwire as gw
from gradwire.transport.default_connection import current_connection
from gradwire.ir import encode_program
from programs import chain, program, vector

PROGRAM = encode_program(program(chain("sin", 1, vector(3))))

def run(x=1.0):
    reply = current_connection().compute(PROGRAM, [np.full(3, float(x))])
    assert abs(reply.outputs[0][0] - np.sin(x)) < 1e-12
    return current_connection().target

"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The servers of these tests keep what they compile to themselves."""
    folder = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADWIRE_CACHE_DIR", folder)
        patch.delenv("GRADWIRE_TARGET", raising=False)
        yield folder


@pytest.fixture
def connection() -> Iterator[gw.Connection]:
    with gw.local() as connection:
        yield connection


def folder_of(target: str) -> Path:
    return Path(target.removeprefix("unix:")).parent


def is_gone(target: str) -> bool:
    return not processes_of(target) and not folder_of(target).exists()


def test_it_computes_and_ends(cache: str) -> None:
    """Nothing of it is left after the block."""
    with gw.local() as connection:
        target = connection.target
        np.testing.assert_allclose(connection.compute(PROGRAM, [X]).outputs[0], np.sin(X))
        assert len(processes_of(target)) == 1
        assert stat.S_IMODE(folder_of(target).stat().st_mode) == 0o700
        assert len(target) < 60
        assert any(Path(cache).iterdir())
    assert is_gone(target)
    with pytest.raises(UnavailableError, match="closed"):
        connection.compute(PROGRAM, [X])


def test_each_has_its_own(connection: gw.Connection) -> None:
    """Ending one leaves the other alone."""
    with gw.local(precision="fast") as other:
        assert other.target != connection.target
        assert other.precision == "fast"
    connection.compute(PROGRAM, [X])


def test_it_ends_with_the_last_who_knows_it() -> None:
    """A connection that is dropped does not keep a server."""
    target = gw.local().target
    gc.collect()
    assert is_gone(target)


def test_threads_that_come_first_together_start_one() -> None:
    """Where nothing else is said it is started at the first use."""
    barrier = threading.Barrier(6)

    def first() -> gw.Connection:
        barrier.wait()
        return current_connection()

    with futures.ThreadPoolExecutor(6) as pool:
        (connection,) = {future.result() for future in [pool.submit(first) for _ in range(6)]}
    target = connection.target
    connection.compute(PROGRAM, [X])
    connection.close()
    assert is_gone(target)


def test_one_that_was_killed_is_replaced(connection: gw.Connection) -> None:
    """Its successor gets the program again; the caller sees no difference."""
    connection.compute(PROGRAM, [X])
    before = connection.target
    (pid,) = processes_of(before)
    os.kill(pid, signal.SIGKILL)
    np.testing.assert_allclose(connection.compute(PROGRAM, [X]).outputs[0], np.sin(X))
    assert connection.target != before
    assert is_gone(before)


def test_why_it_cannot_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the end of its output: a cache that is a file, flags that abort the process."""
    (tmp_path / "file").touch()
    with monkeypatch.context() as patch:
        patch.setenv("GRADWIRE_CACHE_DIR", str(tmp_path / "file"))
        with pytest.raises(UnavailableError, match=f"did not start.*(?s:.*){tmp_path}/file"):
            gw.local()
    monkeypatch.setenv("XLA_FLAGS", "--xla_no_such_flag")
    with pytest.raises(UnavailableError, match=r"did not start.*(?s:.*)--xla_no_such_flag"):
        gw.local()


def test_one_that_does_not_start_in_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how long it was given; the folder of its socket is removed."""
    made: list[Path] = []

    def make(**options: Any) -> str:
        made.append(Path(mkdtemp(**options)))
        return str(made[-1])

    mkdtemp = child_process.tempfile.mkdtemp
    monkeypatch.setattr(child_process.tempfile, "mkdtemp", make)
    with pytest.raises(UnavailableError, match=r"did not start within 0.05 s"):
        gw.local(startup_timeout=0.05)
    (folder,) = made
    assert not folder.exists()


def test_without_the_extra_the_error_names_it() -> None:
    """Before anything is started."""
    script = """
import sys
sys.modules["jax"] = None
import gradwire as gw
try:
    gw.local()
except gw.UnavailableError as error:
    print(error)
"""
    (line,) = run_script(script)
    assert "pip install 'gradwire[server]'" in line


def test_it_ends_with_its_owner() -> None:
    """At the owner's normal end, without output on stderr."""
    owner = start_script(PRELUDE + "print(run())")
    output, errors = owner.communicate(timeout=120)
    assert (owner.returncode, errors) == (0, "")
    assert is_gone(output.strip())


@pytest.mark.parametrize("worker", [False, True], ids=["alone", "with-a-forked-worker"])
def test_it_ends_when_its_owner_is_killed(worker: bool) -> None:
    """Even while a process that the owner forked still runs, and holds its pipes."""
    script = PRELUDE + "print(run(), flush=True)\n"
    if worker:
        script += """
def sleep():
    print("asleep", flush=True)
    time.sleep(60)

multiprocessing.get_context("fork").Process(target=sleep).start()
"""
    script += "time.sleep(60)"
    owner = start_script(script)
    try:
        assert owner.stdout is not None
        target = owner.stdout.readline().strip()
        if worker:
            assert owner.stdout.readline() == "asleep\n"
        assert len(processes_of(target)) == 1
        owner.kill()
        assert eventually(lambda: not processes_of(target), 10)
    finally:
        os.killpg(owner.pid, signal.SIGKILL)  # the worker, which is in its group
        owner.communicate()


def test_the_folder_of_its_socket_goes_with_it() -> None:
    """Where the owner can't remove it any more, the server does."""
    owner = start_script(PRELUDE + "print(run(), flush=True)\ntime.sleep(60)")
    assert owner.stdout is not None
    target = owner.stdout.readline().strip()
    owner.kill()
    owner.communicate()
    assert eventually(lambda: is_gone(target))


def test_ctrl_c_is_for_the_owner() -> None:
    """The owner can still use its server after it."""
    script = """
try:
    print(run(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print(run(), flush=True)
"""
    owner = start_script(PRELUDE + script)
    assert owner.stdout is not None
    target = owner.stdout.readline()
    os.killpg(owner.pid, signal.SIGINT)
    output, errors = owner.communicate(timeout=60)
    assert (owner.returncode, output, errors) == (0, target, "")


def test_forked_workers_have_their_own() -> None:
    """Which end with them, and don't end that of their parent."""
    script = """
with gw.local():
    print(run())
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.apply(run), flush=True)
        pool.close()
        pool.join()
    print(run())
print(run(), flush=True)
child = os.fork()
if not child:
    print(run())
    sys.exit()
os.waitpid(child, 0)
print(run())
"""
    entered, worker, still, default, child, again = run_script(PRELUDE + script)
    assert entered == still
    assert default == again
    targets = {entered, worker, default, child}
    assert len(targets) == 4
    assert eventually(lambda: not any(map(processes_of, targets)))


def test_the_current_folder_shadows_nothing(tmp_path: Path) -> None:
    """A file of the caller's that is named like a module stays out of the server."""
    for name in ("jax", "queue", "gradwire_server", "logging"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    script = PRELUDE.replace("import multi", "import sys; sys.path.remove('')\nimport multi", 1)
    script += "os.chdir(sys.argv[1]); print(run())"
    assert len(run_script(script, str(tmp_path))) == 1


def test_a_proxy_is_not_asked() -> None:
    """The server is on this machine."""
    proxy = "http://127.0.0.1:9"
    assert run_script(PRELUDE + "print(run())", http_proxy=proxy, https_proxy=proxy)


def test_the_cache_is_the_users_or_off(tmp_path: Path) -> None:
    """By default it is the user's cache folder, which no other user can read."""
    script = PRELUDE.replace("import gradwire", "os.umask(0)\nimport gradwire") + "run()"
    root = tmp_path / "cache"
    run_script(script, XDG_CACHE_HOME=str(root), GRADWIRE_CACHE_DIR="off")
    assert not root.exists()
    run_script(script, XDG_CACHE_HOME=str(root), GRADWIRE_CACHE_DIR="")
    assert stat.S_IMODE((root / "gradwire").stat().st_mode) == 0o700
    assert any((root / "gradwire").iterdir())
