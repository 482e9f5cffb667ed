"""Each record is one line of the log."""

from __future__ import annotations

import json
import logging

import pytest

from gradwire_server.observability.logs import FIELDS, JsonFormatter, TextFormatter, log_calls
from gradwire_server.serving.call_record import STAGES, CallRecord


def _formatted(formatter: logging.Formatter, caplog: pytest.LogCaptureFixture) -> list[str]:
    return [formatter.format(record) for record in caplog.records]


def test_each_call_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """In JSON and in text; what a caller chose can't forge another line."""
    caplog.set_level(logging.INFO)
    record = CallRecord("Compute", 'a" \n forged', operator="jvp", plan_id="p", rows=3, total=0.5)
    record.execute = 0.25
    record.attempt, record.client, record.peer, record.trace_id = 2, "c\n", "ipv4:1", "abc"
    record.caller = "certificate:\n"
    log_calls([record])
    (line,) = _formatted(JsonFormatter(), caplog)
    assert "\n" not in line
    read = json.loads(line)
    assert read["call_id"] == 'a" \n forged'
    assert (read["ms"], read["execute_ms"], read["queue_ms"]) == (500.0, 250.0, 0.0)
    assert (read["status"], read["rows"], read["plan_id"]) == ("OK", 3, "p")
    assert (read["attempt"], read["client"], read["trace_id"]) == (2, "c\n", "abc")
    assert set(read) >= {"time", "level", "method", "operator", *(f"{s}_ms" for s in STAGES)}
    (text,) = _formatted(TextFormatter(), caplog)
    assert "\n" not in text
    assert r'call_id="a\" \n forged" attempt=2 client="c\n" peer="ipv4:1" ' in text
    assert r' caller="certificate:\n" method="Comp' in text


def test_tracebacks_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """In JSON as a value of the same line."""
    try:
        raise ValueError("cause")
    except ValueError:
        logging.getLogger("gradwire_server").exception("it failed", extra={FIELDS: {"x": 1.5}})
    (line,) = _formatted(JsonFormatter(), caplog)
    read = json.loads(line)
    assert (read["message"], read["level"], read["x"]) == ("it failed", "error", 1.5)
    assert read["traceback"].endswith("ValueError: cause")
    (text,) = _formatted(TextFormatter(), caplog)
    assert "it failed x=1.5\nTraceback" in text
