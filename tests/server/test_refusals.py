from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from gradwire.errors import (
    GradwireError,
    InvalidProgramError,
    LimitExceededError,
    QuarantinedError,
)
from gradwire_server.process import quarantine as quarantine_module
from gradwire_server.process.background_log import BackgroundLog
from gradwire_server.process.quarantine import Quarantine, QuarantinedPlans
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.serving.refusals import Refusals, name_of_check, name_of_compile

A, B = "a" * 32, "b" * 32
CRASHED = QuarantinedError("it crashed", metadata={"cause": "SIGSEGV"})


def passed(limit: str = "max_compile_seconds", allowed: str = "120") -> LimitExceededError:
    return LimitExceededError("it took more", metadata={"limit": limit, "allowed": allowed})


def supervisors(folder: Path) -> Quarantine:
    """What a supervisor knows of the folder."""
    return Quarantine(folder, 600.0, BackgroundLog(logging.getLogger("test")))


def server(folder: Path, **bounds: float) -> Refusals:
    """A server that starts now."""
    quarantine = supervisors(folder)
    plans = QuarantinedPlans(quarantine.plans(), str(quarantine.file), 600.0)
    return Refusals(plans, bounds)


@pytest.mark.parametrize(
    ("error", "kind", "text", "metadata"),
    [
        (CRASHED, QuarantinedError, "compilers down", {"cause": "SIGSEGV"}),
        (passed(), LimitExceededError, "`max_compile_seconds` is 120 ",
         {"limit": "max_compile_seconds", "allowed": "120", "got": "more"}),
        (passed("max_compile_bytes", "4294967296"), LimitExceededError,
         "`max_compile_bytes` is 4294967296 ",
         {"limit": "max_compile_bytes", "allowed": "4294967296", "got": "more"}),
    ],
)  # fmt: skip
def test_a_compile_is_refused_by_its_error(
    tmp_path: Path, error: GradwireError, kind: type[GradwireError], text: str, metadata: object
) -> None:
    """Of the same type, also by a later server; another batch size or plan isn't."""
    first = server(tmp_path)
    first.note_failure(name_of_compile(A, 8), error)
    for refusals in first, server(tmp_path):
        with pytest.raises(kind, match=text) as caught:
            refusals.check(name_of_compile(A, 8))
        assert type(caught.value) is kind
        assert caught.value.metadata == metadata
        assert "refused for another 600 s" in caught.value.message
        refusals.check(name_of_compile(A, 4))
        refusals.check(name_of_compile(A, NO_BATCH))
        refusals.check(name_of_compile(B, 8))
        refusals.check_plan(A)


def test_a_check_is_refused_like_a_compile(tmp_path: Path) -> None:
    """By the bytes of its program, of which no plan is known."""
    name = name_of_check(b"program")
    server(tmp_path).note_failure(name, passed())
    with pytest.raises(LimitExceededError, match="`max_compile_seconds` is 120 "):
        server(tmp_path).check(name)
    server(tmp_path).check(name_of_check(b"another"))
    assert supervisors(tmp_path).lift(name)


def test_other_failures_refuse_nothing(tmp_path: Path) -> None:
    """Such as what the compiler itself says of a program."""
    refusals = server(tmp_path)
    for error in InvalidProgramError("it is wrong"), passed("max_nodes", "10"):
        refusals.note_failure(name_of_compile(A, NO_BATCH), error)
        refusals.check(name_of_compile(A, NO_BATCH))
    assert supervisors(tmp_path).plans() == {}


def test_a_bound_that_was_raised_counts(tmp_path: Path) -> None:
    """What passed a lower one may try again, and what passed the same may not."""
    server(tmp_path).note_failure(name_of_compile(A, NO_BATCH), passed())
    server(tmp_path, max_compile_seconds=121.0).check(name_of_compile(A, NO_BATCH))
    with pytest.raises(LimitExceededError):
        server(tmp_path, max_compile_seconds=120.0).check(name_of_compile(A, NO_BATCH))


def test_a_lift_counts_for_all_of_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that runs sees it; a single compile can be lifted by its own name."""
    monkeypatch.setattr(quarantine_module, "_LOOK_SECONDS", 0.0)
    refusals = server(tmp_path)
    for bucket in NO_BATCH, 2, 4:
        refusals.note_failure(name_of_compile(A, bucket), CRASHED)
    refusals.note_failure(name_of_compile(B, NO_BATCH), CRASHED)
    quarantine = supervisors(tmp_path)
    assert list(quarantine.plans()) == [
        f"{A}/compile", f"{A}/compile-2", f"{A}/compile-4", f"{B}/compile",
    ]  # fmt: skip
    assert quarantine.lift(f"{A}/compile-2")
    refusals.check(name_of_compile(A, 2))
    with pytest.raises(QuarantinedError):
        refusals.check(name_of_compile(A, 4))
    assert quarantine.lift(A)
    for bucket in NO_BATCH, 4:
        refusals.check(name_of_compile(A, bucket))
    with pytest.raises(QuarantinedError):
        refusals.check(name_of_compile(B, NO_BATCH))


def test_without_a_disk_it_is_kept_in_memory(tmp_path: Path) -> None:
    """Where there is no folder, and where it can't be written."""
    (tmp_path / "folder").touch()
    for refusals in Refusals(QuarantinedPlans()), server(tmp_path / "folder"):
        refusals.note_failure(name_of_compile(A, NO_BATCH), CRASHED)
        time.sleep(0.01)
        with pytest.raises(QuarantinedError):
            refusals.check(name_of_compile(A, NO_BATCH))


def test_compiles_are_not_counted_as_plans() -> None:
    """Which have brought the server down."""
    plans = QuarantinedPlans()
    Refusals(plans).note_failure(name_of_compile(A, NO_BATCH), CRASHED)
    assert len(plans) == 0
    plans.add(A, "SIGSEGV")
    assert len(plans) == 1
    with pytest.raises(QuarantinedError, match="this server down"):
        Refusals(plans).check_plan(A)
