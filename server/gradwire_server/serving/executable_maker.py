"""Makes the executables of plans: loads them from disk, or has them compiled.

Loading runs native code in this process and may end it, so it is noted before it begins;
and so is compiling, where that is in this process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from gradwire_server.process.quarantine import QuarantinedPlans
from gradwire_server.runtime.executable import Executable, load_executable
from gradwire_server.runtime.store import Store
from gradwire_server.serving.compilers import Compile
from gradwire_server.serving.plan import Plan, executable_key
from gradwire_server.serving.refusals import Refusals, name_of_compile

_log = logging.getLogger(__name__)


def unnoted(plan_id: str) -> AbstractContextManager[None]:
    """Notes nothing: what the block does can't end this process."""
    return nullcontext()


class ExecutableMaker:
    """Makes executables. Thread-safe."""

    def __init__(
        self,
        store: Store | None,
        compile_program: Compile,
        *,
        refusals: Refusals | None = None,
        loading: Callable[[str], AbstractContextManager[None]] = unnoted,
        compiling: Callable[[str], AbstractContextManager[None]] = unnoted,
    ) -> None:
        """Nothing is made yet.

        Args:
            store: The executables on disk, if they are kept.
            compile_program: Compiles, in this process or another; called as
                ``compiler.compile.compile_program``.
            refusals: Compiles that are refused for a time; None for none.
            loading: Notes, for the time of a block, that an executable of the plan with
                this id is loaded.
            compiling: The same for one that is compiled, where that is in this process.
        """
        self._store = store
        self._compile = compile_program
        self._refusals = Refusals(QuarantinedPlans()) if refusals is None else refusals
        self._loading = loading
        self._compiling = compiling

    def make(self, plan: Plan, bucket: int) -> tuple[Executable, bool]:
        """Returns the executable, and whether it had to be compiled.

        Raises:
            LimitExceededError: compiling it passes a bound, or did so lately.
            QuarantinedError: compiling it brings compilers down, or did so lately.
            Exception: what the compiler says of the program.
        """
        key = executable_key(plan, bucket)
        if self._store is not None and (data := self._store.read(key)) is not None:
            try:
                return self._load(plan, key, data), False
            except Exception:  # noqa: BLE001 - whatever it is, compiling mends it
                _log.exception("plan %s can't be loaded and is compiled again", plan.id)
                self._store.remove(key)
        with self._refusals.kept(name_of_compile(plan.id, bucket)), self._compiling(plan.id):
            data = self._compile(plan.program, plan.precision, bucket, plan.choices)
        if self._store is not None:
            self._store.write(key, data)
        return self._load(plan, key, data), True

    def _load(self, plan: Plan, key: bytes, data: bytes) -> Executable:
        marked = nullcontext() if self._store is None else self._store.loading(key)
        with self._loading(plan.id), marked:
            return load_executable(data)
