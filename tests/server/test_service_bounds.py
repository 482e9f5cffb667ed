"""Calls at the bounds of a server are served, those over them refused."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.v1 import service_pb2 as pb
from gradwire_server.app import App
from gradwire_server.runtime import executable
from monitoring import page_at, samples_of
from programs import SIN, X, function, node, program, unary, vector
from server_process import eventually
from serving import (
    compilers_blocked,
    detail_of,
    inline,
    inputs,
    outputs,
    prepare_request,
    refused,
    retry_delay_of,
    serving,
)


def test_want_of_memory_is_refused_before_the_run(tmp_path: Path) -> None:
    """By what the compiler says that a run takes: at the bound it runs."""
    with serving(tmp_path) as (_, stub):
        needed = stub.Prepare(prepare_request(SIN)).plan.peak_bytes
    for bound in (needed, needed - 1):
        with serving(tmp_path, max_device_bytes=bound) as (_, stub):
            if bound == needed:
                stub.Compute(inline(SIN, X))
                continue
            for call, request in (
                (stub.Prepare, prepare_request(SIN)),
                (stub.Compute, inline(SIN, X)),
            ):
                with refused("OUT_OF_MEMORY", "RESOURCE_EXHAUSTED") as caught:
                    call(request)
                assert not detail_of(caught.value).retryable
                assert retry_delay_of(caught.value) is None


def test_a_reply_that_can_not_be_sent_is_not_computed(tmp_path: Path) -> None:
    """Prepare says so already; at the bound, messages do arrive."""
    side = 100
    body = function([vector(side, side)], node("sin", [0], 1), results=[1])
    size = 2048 + 512 + side * side * 8
    for bound in (size, size - 1):
        with serving(tmp_path, max_message_bytes=bound) as (_, stub):
            if bound == size:
                request = inline(program(body), np.ones((side, side)))
                assert outputs(stub.Compute(request))[0].shape == (side, side)
                continue
            with refused("LIMIT_EXCEEDED", "INVALID_ARGUMENT") as caught:
                stub.Prepare(prepare_request(program(body)))
            assert detail_of(caught.value).field == "outputs"


def test_what_a_request_holds_is_bounded(tmp_path: Path) -> None:
    """Before it is parsed: at the bound it is read, one over it not; the error has an id."""
    with serving(tmp_path, max_request_items=200) as (_, stub):
        for items, reason in ((199, "PLAN_NOT_FOUND"), (200, "LIMIT_EXCEEDED")):
            with refused(reason, None) as caught:
                stub.Compute(pb.ComputeRequest(plan_id="x", inputs=[pb.Input()] * items))
            assert len(detail_of(caught.value).call_id) == 32
        assert "`max_request_items` is 200 on this server; got 201" in caught.value.details()


def test_bytes_in_flight_are_bounded(tmp_path: Path) -> None:
    """One call is always taken; a second that is too much with it is refused."""
    with serving(tmp_path, max_bytes_in_flight=1000) as (app, stub):
        with compilers_blocked(app) as release:
            first = stub.Prepare.future(prepare_request(SIN))
            assert eventually(lambda: app.lifecycle.calls == 1)
            large = unary("sin", type_=vector(500))
            with refused("OVERLOADED") as caught:
                stub.Compute(inline(large, np.ones(500)))
            assert "`max_bytes_in_flight` is 1000" in caught.value.details()
            release()
            assert first.result(60).plan.id
        assert outputs(stub.Compute(inline(large, np.ones(500))))[0].shape == (500,)


def test_calls_are_bounded(tmp_path: Path) -> None:
    """One over the bound is told when to come again; those at it are served."""
    with serving(tmp_path, max_calls=2) as (app, stub), compilers_blocked(app) as release:
        futures = [stub.Prepare.future(prepare_request(SIN)) for _ in range(2)]
        assert eventually(lambda: app.lifecycle.calls == 2)
        with refused("OVERLOADED", "RESOURCE_EXHAUSTED") as caught:
            stub.Compute(inline(SIN, X))
        assert detail_of(caught.value).retryable
        assert retry_delay_of(caught.value) == 0.1
        assert "`max_calls` is 2" in caught.value.details()
        release()
        for future in futures:
            assert future.result(60).plan.id


def test_waiting_for_compiles_is_bounded(tmp_path: Path) -> None:
    """Or slow programs would take every thread; those that are ready go on."""
    cos = unary("cos")
    with serving(tmp_path, max_waiting_calls=1) as (app, stub):
        stub.Prepare(prepare_request(SIN))
        with compilers_blocked(app) as release:
            waiting = stub.Prepare.future(prepare_request(cos))
            assert eventually(lambda: app.scheduler.waiting_for_compile == 1)
            with refused("OVERLOADED") as caught:
                stub.Prepare(prepare_request(cos))
            assert "`max_waiting_calls` is 1 on this server" in caught.value.details()
            shown = {entry.name: entry.value for entry in detail_of(caught.value).metadata}
            assert shown == {"limit": "max_waiting_calls", "allowed": "1"}
            stub.Compute(inline(SIN, X))
            release()
            assert waiting.result(60).plan.id


def test_the_queue_of_compiles_is_bounded(tmp_path: Path) -> None:
    """At its bound a program waits, one over it is refused."""
    sources = [unary("sin", type_=vector(n + 1))
               for n in range(2)]  # fmt: skip
    with serving(tmp_path, compile_workers=1, max_waiting_compiles=1) as (app, stub):
        with compilers_blocked(app) as release:
            waiting = stub.Prepare.future(prepare_request(sources[0]))
            assert eventually(lambda: app.compile_pool.waiting == 1)
            with refused("OVERLOADED") as caught:
                stub.Prepare(prepare_request(sources[1]))
            assert "`max_waiting_compiles` is 1" in caught.value.details()
            release()
            assert waiting.result(60).plan.id
        assert stub.Prepare(prepare_request(sources[1])).plan.id


def test_runs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many run, so many wait, and the next is refused; a waiter's deadline counts."""
    begun, released = threading.Semaphore(0), threading.Event()
    run = executable.Executable.__call__

    def slow(self: executable.Executable, arguments: Any) -> Any:
        begun.release()
        released.wait(60)
        return run(self, arguments)

    bounds = {"max_executions": 1, "max_waiting_executions": 1}
    with serving(tmp_path, **bounds, metrics="127.0.0.1:0") as (app, stub):
        plan_id = stub.Prepare(prepare_request(SIN)).plan.id
        request = pb.ComputeRequest(plan_id=plan_id, inputs=inputs([X]))
        monkeypatch.setattr(executable.Executable, "__call__", slow)
        running = stub.Compute.future(request)
        assert begun.acquire(timeout=10)
        waiting = stub.Compute.future(request, timeout=3)
        assert eventually(lambda: _waiting(app) == 1)
        with refused("OVERLOADED", "RESOURCE_EXHAUSTED") as caught:
            stub.Compute(request)
        assert "`max_waiting_executions` is 1" in caught.value.details()
        with pytest.raises(grpc.RpcError) as late:
            waiting.result(10)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        released.set()
        assert running.result(10).plan_id == plan_id
        assert stub.Compute(request).timing.queue_seconds < 30


def _waiting(app: App) -> float:
    _, text = page_at(f"{app.metrics_url}/metrics")
    return samples_of(text)["gradwire_executions_waiting", ()]


def test_a_call_without_a_deadline_gets_one(tmp_path: Path) -> None:
    """Nobody keeps a thread for ever; the error is the server's own."""
    bounds = {"default_prepare_seconds": 1, "default_compute_seconds": 1}
    with serving(tmp_path, **bounds) as (app, stub), compilers_blocked(app):
        for call, request in ((stub.Prepare, prepare_request(SIN)), (stub.Compute, inline(SIN, X))):
            start = time.monotonic()
            with refused("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"):
                call(request)
            assert time.monotonic() - start > 0.9
