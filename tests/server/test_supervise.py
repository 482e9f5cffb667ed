"""What a private server learns of the one before it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gradwire_server.config.settings import Settings
from gradwire_server.process.run_journal import create_journal
from gradwire_server.process.supervision import Supervision
from gradwire_server.supervise import PREDECESSOR_VARIABLE, succeed

A, B = "a" * 32, "b" * 32


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Supervision]]:
    """Makes the successor of a server that ended with some code while it ran some plans."""
    settings = Settings(embedded=True, cache_dir=str(tmp_path), max_executions=2)
    journal = create_journal(settings.max_noted)

    def make(code: int | None, *plans: str) -> Supervision:
        for plan in plans:
            journal.enter(plan)
        values = {"journal": journal.descriptor, "exit": code}
        monkeypatch.setenv(PREDECESSOR_VARIABLE, json.dumps(values))
        supervision = succeed(settings)
        assert supervision is not None
        assert PREDECESSOR_VARIABLE not in os.environ
        assert (supervision.journal, journal.read()) == (journal.descriptor, [])
        return supervision

    yield make
    journal.close()


@pytest.mark.parametrize("code", [None, 0, 1, -signal.SIGKILL, -signal.SIGSEGV])
def test_without_a_run_there_is_nobody_to_suspect(
    code: int | None, follow: Callable[..., Supervision]
) -> None:
    """However the last server ended, or if there was none."""
    supervision = follow(code)
    assert (supervision.suspects, supervision.quarantined) == ((), {})


def test_what_ran_alone_at_a_crash_is_quarantined(follow: Callable[..., Supervision]) -> None:
    """For the servers that follow as well, until the time is over."""
    supervision = follow(-signal.SIGSEGV, A)
    assert supervision.suspects == ()
    assert [*supervision.quarantined] == [A]
    assert supervision.quarantined[A].reason == "SIGSEGV"
    assert Path(supervision.quarantine_file or "").is_file()
    assert [*follow(0).quarantined] == [A]


def test_what_ran_together_at_a_crash_is_suspected(follow: Callable[..., Supervision]) -> None:
    """And what ran when the server was killed."""
    assert set(follow(-signal.SIGSEGV, A, B).suspects) == {A, B}
    assert follow(-signal.SIGKILL, B).suspects == (B,)
    assert follow(1, A).suspects == ()


def test_a_server_that_no_client_started_follows_none() -> None:
    """It notes no runs."""
    assert succeed(Settings(embedded=True)) is None
