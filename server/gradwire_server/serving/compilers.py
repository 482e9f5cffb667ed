"""Compilers in processes of their own: a program can end or block one of them, and no more.

Each bound on a compile is kept by killing the process. One more than compile at a time
is kept ready, so that the next program finds a compiler whatever became of the last.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gradwire.errors import (
    LimitExceededError,
    QuarantinedError,
    UnavailableError,
)
from gradwire_server.compiler.protocol import (
    COMPILE,
    DONE,
    PLAN,
    CompileRequest,
    read_error,
    read_planned,
    write_plan_request,
    write_request,
)
from gradwire_server.config.settings import Settings
from gradwire_server.planner.choices import Choice
from gradwire_server.planner.plan import PlannedProgram, plan_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import read_program
from gradwire_server.serving.compiler_process import (
    CompilerProcess,
    DiedError,
    GoneError,
    NotStartedError,
)
from gradwire_server.serving.refused_programs import RefusedPrograms

_log = logging.getLogger(__name__)

RESERVED = 1
"""Threads of the pool for callers none of whose programs is being compiled."""
_TRIES = 2
"""A program whose compiler died gets another: it may have been killed for something else."""


@dataclass(slots=True)
class Counts:
    """What became of compilers so far; for the metrics."""

    started: int = 0
    died: int = 0
    killed: int = 0


Compile = Callable[[bytes, str, int, Sequence[Choice]], bytes]
"""Program, precision, bucket and choices to an executable's bytes."""


class Compilers(Protocol):
    """Where programs are compiled.

    Attributes:
        counts: What became of the processes so far.
    """

    counts: Counts

    def compile_program(
        self, program: bytes, precision: str, bucket: int, choices: Sequence[Choice]
    ) -> bytes:
        """Compiles as ``compiler.compile.compile_program`` does. Thread-safe."""

    def plan_program(self, program: bytes, limits: ProgramLimits) -> PlannedProgram:
        """Checks and plans a program, within these bounds. Thread-safe."""

    def keep_spare(self) -> None:
        """Keeps one more ready than compile, from now on."""

    def stop(self) -> None:
        """Ends what it has started."""


def open_compilers(settings: Settings) -> Compilers:
    """Returns what compiles, as the settings say."""
    if not settings.compiles_apart:
        return CompilerInProcess()
    # One for each thread of the pool that asks, and one that is ready for the next.
    count = settings.compile_workers + RESERVED + 1
    return CompilerProcesses(
        count,
        settings.max_compile_seconds,
        settings.max_compile_bytes,
        settings.quarantine_seconds,
    )


class CompilerInProcess:
    """Compiles in this process. A compile can't be interrupted, and may end the process.

    Attributes:
        counts: All 0.
    """

    def __init__(self) -> None:
        """There is nothing to start."""
        self.counts = Counts()

    @staticmethod
    def compile_program(
        program: bytes, precision: str, bucket: int, choices: Sequence[Choice]
    ) -> bytes:
        """Compiles in the caller's thread. See ``compiler.compile.compile_program``."""
        # Only here, since a server that compiles elsewhere has no use for the lowering.
        from gradwire_server.compiler.compile import compile_program

        return compile_program(program, precision, bucket, choices)

    @staticmethod
    def plan_program(program: bytes, limits: ProgramLimits) -> PlannedProgram:
        """Checks and plans a program in the caller's thread.

        Raises:
            GradwireError: it is refused.
        """
        return plan_program(read_program(program, limits), limits)

    def keep_spare(self) -> None:
        """Does nothing."""

    def stop(self) -> None:
        """Does nothing: a compile goes on."""


class CompilerProcesses:
    """A number of compilers, started before they are needed.

    Attributes:
        counts: What became of them so far.
    """

    def __init__(
        self, count: int, max_seconds: float, max_bytes: int, quarantine_seconds: float
    ) -> None:
        """Starts the first of them.

        Args:
            count: How many there are at most: one more than compile at the same time.
            max_seconds: How long one program may take.
            max_bytes: The memory that a compiler may take, JAX included.
            quarantine_seconds: For how long a program is refused that has brought
                compilers down, or passed a bound.
        """
        self.counts = Counts()
        self._max_count = count
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes
        self._refusals = RefusedPrograms(quarantine_seconds)
        self._changed = threading.Condition()
        self._all: set[CompilerProcess] = set()
        self._idle: list[CompilerProcess] = []
        self._keeps_spare = False
        self._stopped = False
        with self._changed:
            self._start_one()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        with self._changed:
            return [compiler.pid for compiler in self._all]

    def compile_program(
        self, program: bytes, precision: str, bucket: int, choices: Sequence[Choice]
    ) -> bytes:
        """Compiles in another process. See ``compiler.compile.compile_program``.

        Raises:
            LimitExceededError: it took too long, or too much memory.
            QuarantinedError: it has brought two compilers down, now or lately.
            UnavailableError: compilers don't start, or the server ends.
            Exception: what the compiler says.
        """
        request = CompileRequest(program, precision, bucket, tuple(choices))
        return self._answer(COMPILE, write_request(request))

    def plan_program(self, program: bytes, limits: ProgramLimits) -> PlannedProgram:
        """Checks and plans a program in another process, within the bounds of a compile.

        Raises:
            GradwireError: it is refused, or as for ``compile_program``.
        """
        return read_planned(self._answer(PLAN, write_plan_request(program, limits)))

    def _answer(self, kind: int, data: bytes) -> bytes:
        """Returns a compiler's answer; a program that brings compilers down is refused."""
        name = hashlib.sha256(bytes([kind]) + data).digest()
        self._refusals.check(name)
        started = True
        for _ in range(_TRIES):
            try:
                return self._ask_one_that_is_there(kind, data)
            except LimitExceededError as error:
                if error.metadata.get("limit", "").startswith("max_compile_"):
                    self._refusals.add(name, error)
                raise
            except (DiedError, GoneError, NotStartedError) as death:
                cause = str(death)
                started = started and isinstance(death, DiedError)
                doing = "compiled a program" if isinstance(death, DiedError) else "started"
                _log.warning("a compiler has died while it %s: %s", doing, cause)
        if not started:  # the program was not the cause
            raise UnavailableError(f"the server can't start a compiler: {cause}")
        refusal = QuarantinedError(
            f"compiling the program brought {_TRIES} compilers down ({cause}); it is refused for "
            f"{self._refusals.seconds:g} s",
            metadata={"cause": cause},
        )
        self._refusals.add(name, refusal)
        raise refusal

    def keep_spare(self) -> None:
        """Keeps one more ready than compile, from now on.

        A server calls it once it accepts calls: the imports of JAX in two processes would
        delay each other, and its start.
        """
        with self._changed:
            self._keeps_spare = True
            if not self._stopped:
                self._start_spare()

    def stop(self) -> None:
        """Kills all of them; what they are asked for fails."""
        with self._changed:
            self._stopped = True
            compilers, idle = list(self._all), self._idle
            self._idle = []
            self._changed.notify_all()
        for compiler in compilers:
            compiler.kill()
        for compiler in idle:  # the threads that use the others close them
            compiler.close()

    def _ask_one_that_is_there(self, kind: int, data: bytes) -> bytes:
        """Asks one compiler, or the next if it had ended before: that says nothing of a program."""
        for _ in range(self._max_count):
            try:
                return self._ask(kind, data)
            except GoneError as gone:
                _log.warning("a compiler has died while it was idle: %s", gone)
        return self._ask(kind, data)

    def _ask(self, kind: int, data: bytes) -> bytes:
        compiler = self._take()
        try:
            answer = compiler.ask(kind, data, self._max_seconds, self._max_bytes)
        except BaseException as error:
            self._discard(compiler, error)
            if self._stopped:
                raise UnavailableError("the server ends") from None
            raise
        if compiler.resident_bytes() > self._max_bytes / 2:
            self._discard(compiler)  # else what it has kept would count as the next program's
        else:
            self._give_back(compiler)
        result, payload = answer
        if result == DONE:
            return payload
        raise read_error(payload)

    def _take(self) -> CompilerProcess:
        """Returns a compiler that is idle, or the next to become so; starts another."""
        with self._changed:
            while not self._stopped:
                self._drop_dead()
                if not self._idle and len(self._all) < self._max_count:
                    self._start_one()
                if self._idle:
                    compiler = self._idle.pop()
                    self._start_spare()
                    return compiler
                self._changed.wait()
            raise UnavailableError("the server ends")

    def _start_spare(self) -> None:
        if self._keeps_spare and not self._idle and len(self._all) < self._max_count:
            self._start_one()

    def _drop_dead(self) -> None:
        """Removes idle compilers that have ended, which no program is to be refused for."""
        for compiler in [compiler for compiler in self._idle if compiler.has_ended]:
            self._idle.remove(compiler)
            self._all.remove(compiler)
            compiler.close()
            self.counts.died += 1

    def _start_one(self) -> None:
        compiler = CompilerProcess()
        self.counts.started += 1
        self._all.add(compiler)
        self._idle.append(compiler)
        self._changed.notify()

    def _give_back(self, compiler: CompilerProcess) -> None:
        with self._changed:
            if self._stopped:
                compiler.close()
                return
            self._idle.append(compiler)
            self._changed.notify()

    def _discard(self, compiler: CompilerProcess, error: BaseException | None = None) -> None:
        compiler.kill()
        compiler.close()
        with self._changed:
            self._all.discard(compiler)
            self.counts.died += isinstance(error, DiedError | GoneError | NotStartedError)
            self.counts.killed += isinstance(error, LimitExceededError)
            if not self._stopped and not self._idle:
                self._start_one()
