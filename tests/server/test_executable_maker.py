"""What is noted while an executable is made, since it may end the process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gradwire_server.app import build
from gradwire_server.compiler.compile import compile_program
from gradwire_server.process.run_journal import create_journal
from gradwire_server.process.supervision import Supervision
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.runtime.store import Store
from gradwire_server.serving.compilers import CompilerInProcess
from gradwire_server.serving.executable_maker import ExecutableMaker
from gradwire_server.serving.plan import Plan, make_plan
from planned import judge
from programs import SIN, SIN_BYTES
from serving import prepare_request, settings_in, stub_to

PLAN: Plan = make_plan(judge(SIN), SIN_BYTES, "highest", "here")
Note = Callable[[str], AbstractContextManager[None]]


def test_compiling_and_loading_are_noted(tmp_path: Path) -> None:
    """Each for its own time, under the id of the plan; what is on disk is only loaded."""
    seen: list[str] = []

    def note(what: str) -> Note:
        @contextmanager
        def block(plan_id: str) -> Iterator[None]:
            seen.append(f"{what} {plan_id}")
            yield
            seen.append(f"{what} has ended")

        return block

    def compile_(*request: Any) -> bytes:
        seen.append("compiles")
        return compile_program(*request)

    maker = ExecutableMaker(
        Store(tmp_path / "store", 2**30),
        compile_,
        loading=note("loading"),
        compiling=note("compiling"),
    )
    maker.make(PLAN, NO_BATCH)
    load = [f"loading {PLAN.id}", "loading has ended"]
    assert seen == [f"compiling {PLAN.id}", "compiles", "compiling has ended", *load]
    seen.clear()
    maker.make(PLAN, NO_BATCH)
    assert seen == load


def test_a_server_that_compiles_notes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its journal, since a crash of the compiler is one of the server."""
    settings = settings_in(tmp_path, compile="in-process")
    journal = create_journal(settings.max_noted)
    seen: list[list[str]] = []

    def compile_(*request: Any) -> bytes:
        seen.append([run.plan_id for run in journal.read()])
        return compile_program(*request)

    monkeypatch.setattr(CompilerInProcess, "compile_program", staticmethod(compile_))
    supervision = Supervision(os.dup(journal.descriptor))
    with build(settings, supervision=supervision) as app, stub_to(app) as stub:
        plan = stub.Prepare(prepare_request(SIN), timeout=60).plan
    assert [plan.id] in seen
    assert journal.read() == []
    journal.close()
