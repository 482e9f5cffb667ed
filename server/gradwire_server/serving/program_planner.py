"""From the bytes of a new program to its plan: a large one is checked where programs compile."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial

from gradwire_server.program.limits import ProgramLimits
from gradwire_server.serving.compile_pool import CompilePool
from gradwire_server.serving.compilers import CompilerInProcess, Compilers
from gradwire_server.serving.plan_cache import HeldPlan, PlanCache
from gradwire_server.serving.refusals import Refusals, name_of_check

_LARGE_BYTES = 2**15
"""Checking is Python. It takes 0.1 s for so many bytes and 1 s for the largest programs, in
which small calls beside it would wait for the interpreter again and again."""


class ProgramPlanner:
    """Checks and plans programs that the server doesn't hold, and holds their plans."""

    def __init__(
        self,
        plans: PlanCache,
        workers: CompilePool,
        compilers: Compilers,
        limits: ProgramLimits,
        refusals: Refusals,
        *,
        apart: bool,
    ) -> None:
        """Makes one that is idle.

        Args:
            plans: Where the plans are held.
            workers: The threads that wait for compilers.
            compilers: Where programs are compiled.
            limits: The bounds on programs.
            refusals: Programs whose checking is refused for a time.
            apart: Whether that is in other processes.
        """
        self._plans = plans
        self._workers = workers
        self._compilers = compilers
        self._limits = limits
        self._refusals = refusals
        self._large = range(_LARGE_BYTES, limits.max_program_bytes + 1 if apart else 0)
        self._lock = threading.Lock()
        self._planning: dict[tuple[bytes, str], Future[HeldPlan]] = {}

    def plan(self, program: bytes, precision: str, caller: str = "") -> Future[HeldPlan]:
        """Starts to check and plan a program; a small one, or one too large, is done at once.

        Args:
            program: Its bytes.
            precision: The precision of matrix products.
            caller: Who asks for it; see ``CompilePool``.

        Raises:
            OverloadedError: too much waits to be compiled.
            GradwireError: the program is refused. One that is large fails the future.
        """
        if len(program) not in self._large:
            planned = CompilerInProcess.plan_program(program, self._limits)
            future: Future[HeldPlan] = Future()
            future.set_result(self._plans.hold(planned, precision, program))
            return future
        with self._lock:
            planning = self._planning.get((program, precision))
            if planning is None:
                planning = Future()
                self._workers.submit(partial(self._plan, program, precision, planning), caller)
                self._planning[program, precision] = planning
            return planning

    def _plan(self, program: bytes, precision: str, future: Future[HeldPlan]) -> None:
        try:
            with self._refusals.kept(name_of_check(program)):
                planned = self._compilers.plan_program(program, self._limits)
            held = self._plans.hold(planned, precision, program)
        except Exception as error:  # noqa: BLE001 - it goes to all who wait
            self._forget(program, precision)
            future.set_exception(error)
        else:
            self._forget(program, precision)
            future.set_result(held)

    def _forget(self, program: bytes, precision: str) -> None:
        """Lets those who ask from now on find the plan, or have it checked again."""
        with self._lock:
            del self._planning[program, precision]
