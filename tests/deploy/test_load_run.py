"""The load test itself, against real servers, for a moment."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.tensors import encode_tensor
from gradwire.v1 import service_pb2 as pb
from loadtest.agenda import poisson_times
from loadtest.mix import MIXES, is_right
from loadtest.points import Calls, Outcome
from loadtest.target import Target
from loadtest.templates import Template
from loadtest.worker import Order, Setup, Worker
from scripted_server import ScriptedServer, after, bare

ROOT = Path(__file__).parents[2]
X = np.array([1.0, 2.0])


def template(wanted: np.ndarray, rtol: float = 1e-6) -> Template:
    request = pb.ComputeRequest(plan_id="p")
    request.inputs.add().tensor.CopyFrom(encode_tensor(X))
    by_plan = request.SerializeToString()
    request.inline.program = b"program"
    inline = request.SerializeToString()
    return Template("echo", 1.0, "route", by_plan, inline, (wanted,), rtol)


def run(server: ScriptedServer, wanted: np.ndarray, *, retrying: bool = False) -> Calls:
    setup = Setup(Target(server.target), [template(wanted)], 2, 5.0, frozenset(), 0)
    return Worker(setup).run(Order(1, 100.0, time.monotonic(), 0.3, retrying))


def test_every_answer_is_checked() -> None:
    """A server that echoes is right for one request and wrong for another."""
    with ScriptedServer() as server:
        assert set(run(server, X).outcome) == {Outcome.RIGHT}
        assert set(run(server, X + 0.01).outcome) == {Outcome.WRONG}
        assert set(run(server, X[:1]).outcome) == {Outcome.WRONG}
    contexts = [asked.context.call_id for asked in server.requests("Compute")]
    assert len(set(contexts)) == len(contexts) > 20


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Outcome.REFUSED),
        (grpc.StatusCode.CANCELLED, Outcome.REFUSED),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Outcome.LATE),
        (grpc.StatusCode.INTERNAL, Outcome.FAILED),
    ],
    ids=lambda value: value.name,
)
def test_failures_are_told_apart(code: grpc.StatusCode, outcome: Outcome) -> None:
    """And bare clients retry nothing."""
    with ScriptedServer() as server:
        server.always("Compute", bare(code))
        calls = run(server, X)
        assert set(calls.outcome) == {outcome}
        assert len(server.requests("Compute")) == len(calls.due)


def test_a_forgotten_plan_is_sent_along() -> None:
    """Once, as the client does."""
    with ScriptedServer() as server:
        forget, echo = bare(grpc.StatusCode.NOT_FOUND), after(0.0)

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            return (forget if request.plan_id else echo)(request, context)

        server.always("Compute", answer)
        calls = run(server, X)
        assert set(calls.outcome) == {Outcome.RIGHT}
        assert len(server.requests("Compute")) == 2 * len(calls.due)


def test_retries_are_the_clients() -> None:
    """What may succeed later is retried, and counted."""
    with ScriptedServer() as server:
        server.then("Compute", *[bare(grpc.StatusCode.UNAVAILABLE)] * 5)
        calls = run(server, X, retrying=True)
        assert set(calls.outcome) == {Outcome.RIGHT}
        assert calls.retries.sum() == 5


def test_answers_to_other_calls_are_noticed() -> None:
    """The variants of a kind differ by more than is tolerated."""
    for make_kinds in MIXES.values():
        for kind in make_kinds():
            rng = np.random.default_rng(0)
            first, second = (kind.expect(*kind.draw(rng)) for _ in range(2))
            assert is_right(first, first, kind.rtol)
            assert not is_right(first, second, kind.rtol)


def test_the_command_measures_and_checks(tmp_path: Path) -> None:
    """Against a server of its own; what it writes can be read, and names the machine."""
    command = [sys.executable, str(ROOT / "deploy/load/open_loop.py"), "--rates", "20,40"]
    command += ["--seconds", "1", "--settle", "0.2", "--deadline", "5", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every answer had the right values" in done.stdout
    found = json.loads((tmp_path / "knee.json").read_text())
    assert found["machine"]["processor"]
    assert [point["client"] for point in found["points"]] == ["bare", "gradwire"] * 2
    assert all(point["goodput"] > 0 for point in found["points"])
    assert (tmp_path / "knee.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "knee.csv").read_text().splitlines()) == 5


def test_a_run_is_repeatable() -> None:
    """The same seed draws the same times."""
    first, second = (poisson_times(50, 2, np.random.default_rng([3, 1])) for _ in range(2))
    np.testing.assert_array_equal(first, second)
