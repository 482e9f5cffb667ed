from __future__ import annotations

import logging

import pytest

from gradwire.errors import UnavailableError
from gradwire_server.process.run_journal import create_journal
from gradwire_server.serving.device_watch import DeviceWatch
from server_process import eventually

ERROR = RuntimeError("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS")


def test_an_error_on_a_device_that_works_is_the_calls() -> None:
    """Nothing ends for it."""
    watch = DeviceWatch(lambda: True, lambda: pytest.fail("it ends"))
    watch.check(ERROR)
    assert not watch.is_lost


def test_a_device_that_is_lost_ends_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """Once; each call that fails may be sent elsewhere, and what ran then stays in the journal."""
    ends: list[None] = []
    journal = create_journal(2)
    watch = DeviceWatch(lambda: False, lambda: ends.append(None), journal)
    place = journal.enter("a" * 32)
    for _ in range(3):
        with pytest.raises(UnavailableError, match="lost its device") as caught:
            watch.check(ERROR)
        assert caught.value.__cause__ is ERROR
    assert watch.is_lost
    journal.leave(place)
    journal.leave(journal.enter("b" * 32))
    assert [run.plan_id for run in journal.read()] == ["a" * 32]
    journal.close()
    assert len(ends) == 1
    assert eventually(lambda: len(caplog.records) == 1)
    (line,) = caplog.records
    assert line.levelno == logging.CRITICAL
    assert "CUDA_ERROR_ILLEGAL_ADDRESS" in caplog.text
