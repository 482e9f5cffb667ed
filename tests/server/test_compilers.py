"""Compilers in processes of their own: their answers, their bounds and their deaths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.errors import (
    InvalidProgramError,
    LimitExceededError,
    QuarantinedError,
    UnavailableError,
)
from gradwire.ir import encode_program
from gradwire_server.planner.plan import plan_program
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from gradwire_server.runtime.executable import load_executable
from gradwire_server.serving import compiler_process
from gradwire_server.serving.compiler_process import CompilerProcess
from gradwire_server.serving.compilers import CompilerProcesses
from programs import chain, function, nested, node, program, vector
from server_process import eventually, is_alive

SMALL = encode_program(program(chain("sin", 1, vector(3))))
X = np.array([0.0, 0.5, 1.0])


def slow() -> bytes:
    """A program that takes a compiler many seconds: a derivative of order 6 of many nodes."""
    functions = [chain("tanh", 48, vector())]
    for level in range(6):
        outer = node("grad", [0], 1, 2, functions=[level])
        functions.append(function([vector()], outer, results=[2]))
    return encode_program(program(*functions))


@pytest.fixture
def make() -> Iterator[Callable[..., CompilerProcesses]]:
    """Makes compilers that end with the test."""
    made: list[CompilerProcesses] = []

    def start(
        count: int = 1,
        seconds: float = 120.0,
        max_bytes: int = 2**33,
        spare: bool = True,
    ) -> CompilerProcesses:
        made.append(CompilerProcesses(count, seconds, max_bytes))
        if spare:
            made[-1].keep_spare()
        return made[-1]

    yield start
    for compilers in made:
        compilers.stop()


def compile_with(compilers: CompilerProcesses, source: bytes) -> bytes:
    return compilers.compile_program(source, "highest", NO_BATCH, ())


def test_another_process_compiles(make: Callable[..., CompilerProcesses]) -> None:
    """What it answers is loaded here, and is right; an error keeps its type and its place."""
    compilers = make()
    (got,) = load_executable(compile_with(compilers, SMALL))([X])
    np.testing.assert_allclose(got, np.sin(X), rtol=1e-15)
    with pytest.raises(InvalidProgramError, match=r"`functions\[0\].nodes\[0\]` \(add\)"):
        compile_with(compilers, encode_program(program(function([vector(3)], node("add", [0], 1),
                                                                results=[1]))))  # fmt: skip
    (pid,) = compilers.pids
    assert pid != os.getpid()
    assert (compilers.counts.started, compilers.counts.died, compilers.counts.killed) == (1, 0, 0)


def test_another_process_plans(make: Callable[..., CompilerProcesses]) -> None:
    """What it answers is what planning here gives; an error keeps its bound and its place."""
    compilers, limits = make(), ProgramLimits(max_tensor_elements=1000)
    cubes = function([vector(3, 2)], node("multiply", [0, 0], 1), results=[1])
    attrs = {"num_captures": 0, "num_aux": 0, "wrt": (0,)}
    jacobian = node("jacobian", [0], 1, 2, functions=[0], **attrs)
    source = program(cubes, function([vector(3, 2)], jacobian, results=[2]), mapped=[True])
    data = encode_program(source)
    planned = compilers.plan_program(data, limits)
    assert planned == plan_program(verify_program(source, limits), limits)
    assert planned.choices
    narrow = ProgramLimits(max_tensor_elements=35)
    with pytest.raises(LimitExceededError, match="`max_tensor_elements` is 35 ") as caught:
        compilers.plan_program(data, narrow)
    assert (caught.value.function, caught.value.node) == (1, 0)


def test_a_compile_that_takes_too_long_is_ended(make: Callable[..., CompilerProcesses]) -> None:
    """The error names the bound, and another program is compiled."""
    compilers = make(seconds=1.0)
    with pytest.raises(LimitExceededError, match="`max_compile_seconds` is 1 ") as caught:
        compile_with(compilers, slow())
    assert caught.value.metadata["limit"] == "max_compile_seconds"
    assert compilers.counts.killed == 1
    assert len(load_executable(compile_with(compilers, SMALL))([X])) == 1


def test_a_compile_that_takes_too_much_memory_is_ended(
    make: Callable[..., CompilerProcesses],
) -> None:
    """By the memory that its process takes."""
    compilers = make(max_bytes=2**20)
    with pytest.raises(LimitExceededError, match="`max_compile_bytes` is 1048576 ") as caught:
        compile_with(compilers, slow())
    assert caught.value.metadata["limit"] == "max_compile_bytes"


def kill_each(patch: pytest.MonkeyPatch, times: int) -> None:
    """Has the next compilers killed with SIGSEGV a moment after they have begun to compile."""
    begin, left = CompilerProcess._begin, iter(range(times))

    def begin_and_die(self: CompilerProcess, *request: Any) -> None:
        begin(self, *request)
        if next(left, None) is not None:
            threading.Timer(0.1, os.kill, (self.pid, signal.SIGSEGV)).start()

    patch.setattr(CompilerProcess, "_begin", begin_and_die)


def test_a_program_that_brings_compilers_down_is_quarantined(
    make: Callable[..., CompilerProcesses], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the second death; the error names the last, and another program is compiled."""
    compilers = make()
    kill_each(monkeypatch, 2)
    with pytest.raises(QuarantinedError, match="SIGSEGV") as caught:
        compile_with(compilers, slow())
    assert caught.value.metadata == {"cause": "SIGSEGV"}
    assert compilers.counts.died == 2
    compile_with(compilers, SMALL)


def test_a_program_whose_compiler_was_killed_gets_another(
    make: Callable[..., CompilerProcesses],
) -> None:
    """It may have been killed for something else."""
    compilers = make()
    compile_with(compilers, SMALL)
    (pid,) = compilers.pids
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not is_alive(pid))
    (got,) = load_executable(compile_with(compilers, SMALL))([X])
    np.testing.assert_allclose(got, np.sin(X), rtol=1e-15)
    assert compilers.counts.died == 1


def test_compilers_that_died_idle_are_no_programs_fault(
    make: Callable[..., CompilerProcesses],
) -> None:
    """However many: the system may have ended all of them at once."""
    compilers = make(count=2)
    compile_with(compilers, SMALL)
    assert eventually(lambda: len(compilers.pids) == 2)
    for pid in compilers.pids:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not any(map(is_alive, compilers.pids)))
    (got,) = load_executable(compile_with(compilers, SMALL))([X])
    np.testing.assert_allclose(got, np.sin(X), rtol=1e-15)
    assert (compilers.counts.died, compilers.counts.killed) == (2, 0)


def test_a_death_that_is_noticed_late_is_no_programs_fault(
    make: Callable[..., CompilerProcesses], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was killed counts as running until its last thread has ended."""
    compilers = make(count=2)
    compile_with(compilers, SMALL)
    assert eventually(lambda: len(compilers.pids) == 2)
    monkeypatch.setattr(CompilerProcess, "has_ended", False)
    for pid in compilers.pids:
        os.kill(pid, signal.SIGKILL)
    (got,) = load_executable(compile_with(compilers, SMALL))([X])
    np.testing.assert_allclose(got, np.sin(X), rtol=1e-15)
    assert (compilers.counts.died, compilers.counts.killed) == (2, 0)


@pytest.mark.parametrize(
    ("script", "seconds", "text"),
    [
        ("raise SystemExit(3)", 60.0, "exit status 3"),
        ("import time; time.sleep(60)", 0.3, "it did not start within 0.3 s"),
    ],
)
def test_compilers_that_do_not_start_are_no_programs_fault(
    make: Callable[..., CompilerProcesses],
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    seconds: float,
    text: str,
) -> None:
    """The call may be tried again, and the program is not refused for it."""
    with monkeypatch.context() as patch:
        patch.setattr(compiler_process, "_START_SECONDS", seconds)
        patch.setattr(compiler_process, "_COMMAND", [sys.executable, "-c", script])
        compilers = make()
        with pytest.raises(UnavailableError, match=f"can't start a compiler: {text}"):
            compile_with(compilers, SMALL)
        assert compilers.counts.died == 2
    for compiler in list(compilers._idle):  # started by the old command
        compiler.kill()
    assert len(load_executable(compile_with(compilers, SMALL))([X])) == 1


def test_one_more_than_compile_is_kept_ready(make: Callable[..., CompilerProcesses]) -> None:
    """While one compiles for long, another's program finds a compiler."""
    compilers = make(count=2)
    compile_with(compilers, SMALL)
    errors: list[Exception] = []

    def compile_slowly() -> None:
        try:
            compile_with(compilers, slow())
        except UnavailableError as error:
            errors.append(error)

    busy = threading.Thread(target=compile_slowly, daemon=True)
    busy.start()
    assert eventually(lambda: len(compilers.pids) == 2, 60)
    other = encode_program(nested("call", 2))
    compile_with(compilers, other)
    assert busy.is_alive()
    compilers.stop()
    busy.join(20)
    assert not busy.is_alive()
    assert [str(error) for error in errors] == ["the server ends"]


def test_a_spare_waits_until_the_server_has_started(
    make: Callable[..., CompilerProcesses],
) -> None:
    """The imports of several would delay each other."""
    compilers = make(count=3, spare=False)
    compile_with(compilers, SMALL)
    assert len(compilers.pids) == 1
    (first,) = compilers.pids
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: not is_alive(first))
    compilers.keep_spare()
    compile_with(compilers, SMALL)
    assert eventually(lambda: len(compilers.pids) == 2)


OWNER = """
import time
from gradwire_server.serving.compiler_process import CompilerProcess
from gradwire_server.serving.compilers import CompilerProcesses

begin = CompilerProcess._begin

def begin_and_say(*request):
    begin(*request)
    print("begun", flush=True)

CompilerProcess._begin = begin_and_say
compilers = CompilerProcesses(1, 600.0, 2**33)
print(compilers.pids[0], flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("compiles", [False, True])
def test_no_compiler_outlives_its_server(compiles: bool, tmp_path: Path) -> None:
    """Even one that compiles ends when the server has been killed."""
    work = OWNER
    if compiles:
        (tmp_path / "program").write_bytes(slow())
        work = work.replace(
            "time.sleep(600)",
            f"compilers.compile_program(open({str(tmp_path / 'program')!r}, 'rb').read(), "
            "'highest', -1, ())",
        )
    command = [sys.executable, "-P", "-c", work]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        if compiles:
            assert owner.stdout.readline() == "begun\n"
        assert is_alive(pid)
        owner.kill()
    assert eventually(lambda: not is_alive(pid), 60)
