from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from gradwire_server.observability import recorder as journal
from gradwire_server.observability.recorder import CallRecorder
from gradwire_server.serving.call_record import CallRecord
from server_process import eventually


def test_every_record_arrives_once_and_in_order() -> None:
    """After a flush all that came before, and after the end the rest."""
    seen: list[str] = []
    told = CallRecorder([lambda records: seen.extend(record.method for record in records)])
    for number in range(10):
        told.add(CallRecord(str(number)))
    assert told.flush()
    assert seen == [str(number) for number in range(10)]
    told.add(CallRecord("last"))
    told.stop()
    assert seen[10:] == ["last"]


def test_observers_are_told_by_themselves() -> None:
    """Soon, without a flush."""
    seen: list[CallRecord] = []
    told = CallRecorder([seen.extend])
    told.add(CallRecord("x"))
    assert eventually(lambda: len(seen) == 1)
    told.stop()


def test_an_observer_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The others get the records, the failure is logged, and calls go on."""
    seen: list[CallRecord] = []

    def fail(records: Sequence[CallRecord]) -> None:
        raise ValueError("broken")

    told = CallRecorder([fail, seen.extend])
    told.add(CallRecord("x"))
    told.stop()
    assert len(seen) == 1
    assert "an observer of calls failed" in caplog.text


def test_an_observer_that_is_stuck_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when stderr isn't read: records are dropped at a bound, callers never wait."""
    monkeypatch.setattr(journal, "_MANY", 10)
    monkeypatch.setattr(journal, "_TOO_MANY", 50)
    released, seen = threading.Event(), []

    def stuck(records: Sequence[CallRecord]) -> None:
        released.wait(30)
        seen.extend(records)

    told = CallRecorder([stuck])
    told.add(CallRecord("first"))
    assert eventually(lambda: told.waiting == 0)  # the thread has it, and hangs
    for number in range(200):
        told.add(CallRecord(str(number)))
    assert told.waiting == 50
    assert told.dropped == 150
    released.set()
    told.stop()
    assert len(seen) == 51


def test_an_observer_that_is_stuck_holds_neither_a_flush_nor_the_end() -> None:
    """They wait no longer than their timeout, and the records are processed later."""
    released, seen = threading.Event(), []

    def stuck(records: Sequence[CallRecord]) -> None:
        released.wait(30)
        seen.extend(records)

    told = CallRecorder([stuck])
    start = time.monotonic()
    told.add(CallRecord("first"))
    for _ in range(20):  # the first comes before the thread has begun
        assert not told.flush(0.01)
    told.stop(0.1)
    assert time.monotonic() - start < 5
    assert not seen
    released.set()
    assert eventually(lambda: len(seen) == 1)


def test_callers_never_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the thread falls behind: then it is woken early."""
    monkeypatch.setattr(journal, "_MANY", 10)
    monkeypatch.setattr(journal, "_PERIOD_SECONDS", 60)
    seen: list[str] = []

    def note(records: Sequence[CallRecord]) -> None:
        seen.extend([threading.current_thread().name] * len(records))

    told = CallRecorder([note])
    for number in range(100):
        told.add(CallRecord(str(number)))
    assert eventually(lambda: len(seen) >= 90)
    assert set(seen) == {"journal"}
    told.stop()
    assert len(seen) == 100


def test_a_flush_tells_of_what_came_during_another_round() -> None:
    """It is one more, or the last calls would be missing on the page of metrics."""
    begun, released, seen = threading.Event(), threading.Event(), []

    def slow(records: Sequence[CallRecord]) -> None:
        begun.set()
        released.wait(30)
        time.sleep(0.2)
        seen.extend(record.method for record in records)

    told = CallRecorder([slow])
    told.add(CallRecord("first"))
    assert begun.wait(10)
    told.add(CallRecord("second"))
    threading.Timer(0.1, released.set).start()
    assert told.flush(10)
    assert seen == ["first", "second"]
    told.stop()


def test_observers_may_come_later() -> None:
    """After the present ones, in their order; they get the calls that end from then on."""
    seen: list[str] = []
    told = CallRecorder([lambda records: seen.append("first")])
    told.add(CallRecord("before"))
    assert told.flush()
    told.add_observers(lambda records: seen.append("second"), lambda records: seen.append("third"))
    told.add(CallRecord("after"))
    told.stop()
    assert seen == ["first", "first", "second", "third"]
