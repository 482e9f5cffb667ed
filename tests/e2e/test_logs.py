"""The log of a server that writes JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.errors import GradwireError, InvalidInputError, LimitExceededError
from gradwire.ir import encode_program
from gradwire.transport.connection import connect
from programs import chain, program, vector
from serving import Stub, inline

SIN = program(chain("sin", 1, vector(3)))
PROGRAM = encode_program(SIN)
X = np.arange(3.0)


@contextmanager
def _logging_server(folder: Path, *flags: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server of its own; its log is there when the block has ended, each line read."""
    address = f"unix:{folder}/s"
    command = [sys.executable, "-P", "-m", "gradwire_server", "--log-format", "json"]
    command += ["--listen", address, "--metrics", "off", "--cache-dir", "off", *flags]
    log: list[dict[str, Any]] = []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["listening"] == address
        yield address, log
        process.terminate()
        _, lines = process.communicate(timeout=60)
        log += [json.loads(line) for line in lines.splitlines()]
    finally:
        process.kill()
        process.communicate()


def _line(log: list[dict[str, Any]], error: GradwireError) -> dict[str, Any]:
    (line,) = [line for line in log if line.get("call_id") == error.call_id]
    return line


def test_the_id_of_an_error_is_in_the_log(tmp_path: Path) -> None:
    """The caller sees it below the error's text, and finds the call's line by it."""
    flags = ("--max-nodes", "5")
    with _logging_server(tmp_path, *flags) as (address, log), connect(address) as connection:
        connection.prepare(PROGRAM)
        with pytest.raises(InvalidInputError) as wrong:
            connection.compute(PROGRAM, [X[:2]])
        with pytest.raises(LimitExceededError) as large:
            connection.prepare(encode_program(program(chain("sin", 6, vector(3)))))
    shown = "".join(traceback.format_exception(wrong.value))
    assert f"(call {wrong.value.call_id})" in shown
    line = _line(log, wrong.value)
    assert (line["method"], line["status"], line["reason"]) == (
        "Compute",
        "INVALID_ARGUMENT",
        "INVALID_INPUT",
    )
    assert line["client"].startswith("gradwire-python/")
    assert (line["attempt"], line["peer"]) == (0, "unix:")
    assert _line(log, large.value)["reason"] == "LIMIT_EXCEEDED"


def test_attempts_are_told_apart(tmp_path: Path) -> None:
    """Each is a line of the same call, with its number."""
    with _logging_server(tmp_path) as (address, log), grpc.insecure_channel(address) as channel:
        for attempt in range(3):
            request = inline(SIN, X)
            request.context.call_id, request.context.attempt = "mine", attempt
            Stub(channel).Compute(request)
    calls = [line for line in log if line.get("call_id") == "mine"]
    assert [line["attempt"] for line in calls] == [0, 1, 2]


SCRIPT = """
import gc, logging, sys, threading, warnings
from gradwire_server.observability.logs import set_up_logging

set_up_logging(sys.argv[1])
warnings.warn("a warning", stacklevel=1)
logging.getLogger("grpc._server").error("gRPC's\\nerror")
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
quiet = threading.Thread(target=sys.exit)
quiet.start()
quiet.join()

class Broken:
    def __del__(self):
        raise KeyError("in __del__")

Broken()
gc.collect()
raise ValueError("the\\nend")
"""


def _run(log_format: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, log_format],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def test_whatever_python_says_is_one_json_object_a_line() -> None:
    """Warnings, other libraries, and uncaught exceptions, in any thread."""
    code, log = _run("json")
    assert code == 1
    warning, library, thread, collected, end = map(json.loads, log.splitlines())
    assert (warning["level"], warning["logger"]) == ("warning", "py.warnings")
    assert "UserWarning: a warning" in warning["message"]
    assert (library["logger"], library["message"]) == ("grpc._server", "gRPC's\nerror")
    assert "in the thread worker" in thread["message"]
    assert thread["traceback"].endswith("ZeroDivisionError: division by zero")
    assert collected["traceback"].endswith("KeyError: 'in __del__'")
    assert (end["level"], end["traceback"].splitlines()[-2:]) == (
        "critical",
        ["ValueError: the", "end"],
    )


def test_text_tells_the_same() -> None:
    """With tracebacks below their lines."""
    code, log = _run("text")
    assert code == 1
    assert "WARNING py.warnings" in log
    assert log.rstrip().endswith("ValueError: the\nend")


def test_a_server_that_can_not_start_says_so_in_json(tmp_path: Path) -> None:
    """Without a line of gRPC's own, which is none."""
    command = [sys.executable, "-P", "-m", "gradwire_server", "--log-format=json"]
    command += ["--listen", f"unix:{tmp_path}/no/s", "--cache-dir", "off", "--metrics", "off"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    *_, last = map(json.loads, done.stderr.splitlines())
    assert last["level"] == "critical"
    assert f"{tmp_path}/no/s" in last["message"]
