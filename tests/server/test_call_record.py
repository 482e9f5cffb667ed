"""Stages of a call are timed, and their times added."""

from __future__ import annotations

import time

import pytest

from gradwire_server.serving.call_record import STAGES, CallRecord


def test_a_stage_takes_as_long_as_its_blocks_together() -> None:
    """And no other stage takes any of it."""
    record = CallRecord("Compute")
    started = time.perf_counter()
    for _ in range(2):
        with record.stage("queue"):
            time.sleep(0.01)
    assert 0.02 <= record.queue <= time.perf_counter() - started
    assert all(getattr(record, name) == 0 for name in STAGES if name != "queue")


def test_a_stage_that_fails_is_timed_too() -> None:
    """The error passes through."""
    record = CallRecord("Compute")
    with pytest.raises(ZeroDivisionError), record.stage("execute"):
        1 / 0  # noqa: B018 - the error is what is wanted
    assert record.execute > 0


def test_every_stage_is_a_field() -> None:
    """In seconds, none at first; calls that begin later have begun later."""
    one = CallRecord("Compute")
    assert [getattr(one, name) for name in STAGES] == [0.0] * len(STAGES)
    assert one.started <= CallRecord("Compute").started
