from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from gradwire_server.process import background_log
from gradwire_server.process.background_log import BackgroundLog
from server_process import eventually


class Stuck(logging.Handler):
    """Writes nothing until it is released, as a pipe that isn't read."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Waits."""
        self.released.wait(30)
        self.messages.append(record.getMessage())


@pytest.fixture
def stuck() -> Iterator[tuple[logging.Logger, Stuck]]:
    """A logger, and what it writes with."""
    logger, handler = logging.getLogger("stuck"), Stuck()
    logger.addHandler(handler)
    yield logger, handler
    handler.released.set()
    logger.removeHandler(handler)


def test_nobody_waits_for_a_line(stuck: tuple[logging.Logger, Stuck]) -> None:
    """All are written in their order once they can be; then the thread is gone."""
    logger, handler = stuck
    log = BackgroundLog(logger)
    before = threading.active_count()
    for number in range(20):
        log.write(logging.WARNING, "line %d of %s", number, "many")
    assert handler.messages == []
    assert threading.active_count() == before + 1
    handler.released.set()
    assert eventually(lambda: len(handler.messages) == 20)
    assert handler.messages == [f"line {number} of many" for number in range(20)]
    assert eventually(lambda: threading.active_count() == before)
    log.write(logging.WARNING, "one more")
    assert eventually(lambda: handler.messages[-1] == "one more")


def test_lines_that_wait_are_bounded(
    stuck: tuple[logging.Logger, Stuck], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the bound all are written, past it the newest, beside the one that is being written."""
    logger, handler = stuck
    monkeypatch.setattr(background_log, "_MOST", 3)
    log = BackgroundLog(logger)
    log.write(logging.WARNING, "first")
    assert eventually(lambda: not log._lines)
    for number in range(4):
        log.write(logging.WARNING, "%d", number)
    handler.released.set()
    assert eventually(lambda: handler.messages == ["first", "1", "2", "3"])


def test_an_error_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback."""
    log = BackgroundLog(logging.getLogger("gradwire_server"))
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError as error:
        log.write(logging.ERROR, "it failed", error=error)
    assert eventually(lambda: "ZeroDivisionError: by zero" in caplog.text)
    assert "Traceback" in caplog.text
