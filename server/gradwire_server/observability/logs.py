"""The log: one line per record on stderr, as text or JSON, and one record per call.

It also holds what Python itself would print there: warnings and uncaught exceptions.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from gradwire_server.serving.call_record import STAGES, CallRecord

_log = logging.getLogger(__name__)
_access = logging.getLogger("gradwire_server.access")

FIELDS = "fields"
"""The attribute of a log record that holds values by name."""


def set_up_logging(log_format: str, *, quiet: bool = False) -> None:
    """Sends the process's log to stderr, with warnings and uncaught exceptions.

    Args:
        log_format: ``text`` or ``json``.
        quiet: Only warnings and worse; no calls.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    level = logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_uncaught_in_thread


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    _log.critical("an uncaught exception", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is SystemExit:
        return  # it ends a thread, and isn't an error
    name = failed.thread.name if failed.thread is not None else "unknown"
    error = failed.exc_value or failed.exc_type()
    _log.error("an uncaught exception in the thread %s", name, exc_info=error)


def _log_unraisable(failed: sys.UnraisableHookArgs) -> None:
    what = failed.err_msg or "an exception that could not be raised, in"
    error = failed.exc_value or failed.exc_type()
    _log.error("%s: %r", what, failed.object, exc_info=error)


def log_calls(records: Iterable[CallRecord]) -> None:
    """Writes the access log's line of each call."""
    if _access.isEnabledFor(logging.INFO):
        for record in records:
            if record.peer or not record.unread:  # a refusal to be logged has a peer
                _log_call(record)


def _log_call(record: CallRecord) -> None:
    fields: dict[str, Any] = {
        "call_id": record.call_id,
        "attempt": record.attempt,
        "client": record.client,
        "peer": record.peer,
        "caller": record.caller,
        "method": record.method,
        "operator": record.operator,
        "status": record.status,
        "reason": record.reason,
        "plan_id": record.plan_id,
        "rows": record.rows,
        "non_finite": record.non_finite,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "ms": round(record.total * 1e3, 3),
    }
    if record.trace_id:
        fields["trace_id"] = record.trace_id
    for stage in STAGES:
        fields[f"{stage}_ms"] = round(getattr(record, stage) * 1e3, 3)
    _access.info("call", extra={FIELDS: fields})


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Returns the time in UTC, in the form of RFC 3339."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{stamp}.{int(record.msecs):03d}Z"


class TextFormatter(JsonFormatter):
    """Writes a record as text: values as name=value, strings from callers quoted."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, and a traceback below it if there is one."""
        fields = "".join(
            f" {name}={value if isinstance(value, int | float) else json.dumps(value)}"
            for name, value in getattr(record, FIELDS, {}).items()
        )
        stamp = self.formatTime(record)
        line = f"{stamp} {record.levelname} {record.name}: {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
