from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.ir import encode_program
from gradwire.opset import OPS, OPSET_VERSION
from gradwire.v1 import service_pb2 as pb
from gradwire_server.app import App
from gradwire_server.compiler import compile as compiler
from gradwire_server.observability.logs import FIELDS
from gradwire_server.runtime import executable
from programs import function, node, program, vector
from server_process import eventually
from serving import (
    Stub,
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

X = np.array([0.5, -1.0, 2.0])
SIN = program(function([vector(3)], node("sin", [0], 1), results=[1]))
LOG = replace(
    program(function([vector(3), vector(3)], node("log", [0], 2), results=[2, 1])),
    mapped=(True, False),
)
FUTURE = b"\xf8\x07\x01"
"""Field 127, which no message has."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Stub]]:
    """One server for the tests that leave it as it was."""
    with serving(tmp_path_factory.mktemp("server"), max_batch_rows=8, max_batch_sizes=2) as both:
        yield both


@pytest.fixture
def stub(server: tuple[App, Stub]) -> Stub:
    return server[1]


@pytest.fixture
def app(server: tuple[App, Stub]) -> App:
    return server[0]


def test_a_plan_is_prepared_and_run(stub: Stub) -> None:
    """By its id, as often as wanted; the reply says which plan and which server it was."""
    plan = stub.Prepare(prepare_request(SIN)).plan
    assert len(plan.outputs) == 1
    assert list(plan.outputs[0].shape) == [3]
    assert plan.peak_bytes >= 48
    for _ in range(2):
        reply = stub.Compute(pb.ComputeRequest(plan_id=plan.id, inputs=inputs([X])))
        np.testing.assert_allclose(outputs(reply)[0], np.sin(X), rtol=1e-15)
        assert (reply.plan_id, reply.replica_id) == (plan.id, "test")
        assert reply.timing.compile_seconds == 0
        assert reply.timing.execute_seconds > 0
        assert reply.timing.validate_seconds > 0


def test_a_plan_is_compiled_only_once(stub: Stub) -> None:
    """The second answer says so, and still how long it took."""
    body = function([vector(3)], node("cos", [0], 1), results=[1])
    first = stub.Prepare(prepare_request(program(body))).plan
    again = stub.Prepare(prepare_request(program(replace(body, name="other")))).plan
    assert (first.cached, again.cached) == (False, True)
    assert first.id == again.id
    assert again.compile_time == first.compile_time
    assert first.compile_time.ToNanoseconds() > 0


def test_a_program_can_come_with_its_inputs(stub: Stub) -> None:
    """Then it is prepared if need be."""
    for _ in range(2):
        np.testing.assert_array_equal(outputs(stub.Compute(inline(SIN, X)))[0], np.sin(X))


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 5, 8])
def test_a_mapped_program_runs_on_any_number_of_rows(stub: Stub, rows: int) -> None:
    """What isn't finite is counted in real rows alone: here all but none of the last one."""
    x = np.ones((rows, 3))
    x[rows - 1 :] = -1.0, 0.0, 1.0  # the row that padding repeats
    reply = stub.Compute(inline(LOG, x, X))
    log, same = outputs(reply)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(log, np.log(x))
    np.testing.assert_array_equal(same, np.broadcast_to(X, (rows, 3)))
    assert [output.non_finite for output in reply.outputs] == [2 if rows else 0, 0]


def test_batch_sizes_are_compiled_ahead(stub: Stub) -> None:
    """Then a batch of that size, or of its bucket, finds its executable."""
    body = function([vector(3)], node("tan", [0], 1), results=[1])
    source = program(body, mapped=[True])
    plan = stub.Prepare(prepare_request(source, batch_sizes=[3, 0])).plan
    assert not plan.cached
    request = pb.ComputeRequest(plan_id=plan.id, inputs=inputs([np.ones((4, 3))]))
    assert stub.Compute(request).timing.compile_seconds == 0
    request = pb.ComputeRequest(plan_id=plan.id, inputs=inputs([np.ones((5, 3))]))
    assert stub.Compute(request).timing.compile_seconds > 0
    assert stub.Prepare(prepare_request(source, batch_sizes=[8, 4])).plan.cached
    assert stub.Prepare(prepare_request(source)).plan.cached


def test_batch_sizes_are_bounded(stub: Stub) -> None:
    """In number and in size; at the bound they pass. Without a batch there are none."""
    stub.Prepare(prepare_request(LOG, batch_sizes=[8, 1]))
    with refused("LIMIT_EXCEEDED") as caught:
        stub.Prepare(prepare_request(LOG, batch_sizes=[1, 2, 3]))
    assert {m.name: m.value for m in detail_of(caught.value).metadata} == {
        "limit": "max_batch_sizes", "allowed": "2", "got": "3",
    }  # fmt: skip
    for sizes in ([9], [2**64 - 1]):
        with refused("LIMIT_EXCEEDED") as caught:
            stub.Prepare(prepare_request(LOG, batch_sizes=sizes))
        assert detail_of(caught.value).field == "max_batch_rows"
    for request in (prepare_request(SIN, batch_sizes=[1]),):
        with refused("INVALID_REQUEST") as caught:
            stub.Prepare(request)
        assert detail_of(caught.value).field == "batch_sizes"
        with refused("INVALID_REQUEST"):
            stub.Compute(pb.ComputeRequest(inline=request, inputs=inputs([X])))


def test_a_plan_that_is_not_held_is_not_found(stub: Stub) -> None:
    """The client then sends the program."""
    for plan_id in ("", "0" * 32, "\0", "x" * 10_000):
        with refused("PLAN_NOT_FOUND", "NOT_FOUND"):
            stub.Compute(pb.ComputeRequest(plan_id=plan_id, inputs=inputs([X])))


GOOD = inline(SIN, X)


def _edit(edit: Callable[[pb.ComputeRequest], object]) -> pb.ComputeRequest:
    request = pb.ComputeRequest()
    request.CopyFrom(GOOD)
    edit(request)
    return request


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (_edit(lambda r: r.MergeFromString(FUTURE)), "127"),
        (_edit(lambda r: r.inline.MergeFromString(FUTURE)), "inline.127"),
        (_edit(lambda r: r.inline.max_wait.MergeFromString(FUTURE)), "inline.max_wait.127"),
        (_edit(lambda r: r.inputs[0].MergeFromString(FUTURE)), "inputs[0].127"),
        (_edit(lambda r: r.inputs[0].tensor.MergeFromString(FUTURE)), "inputs[0].tensor.127"),
        (_edit(lambda r: r.ClearField("inline")), "plan"),
        (_edit(lambda r: r.inputs[0].ClearField("tensor")), "inputs[0].source"),
        (_edit(lambda r: r.inline.ClearField("precision")), "inline.precision"),
        (_edit(lambda r: setattr(r.inline, "precision", 77)), "inline.precision"),
        (_edit(lambda r: setattr(r.inline.max_wait, "seconds", -1)), "inline.max_wait"),
        (_edit(lambda r: setattr(r.inline.max_wait, "nanos", -1)), "inline.max_wait"),
        (_edit(lambda r: setattr(r.inline.max_wait, "nanos", 10**9)), "inline.max_wait"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_request_is_understood_in_full_or_refused(
    stub: Stub, request_: pb.ComputeRequest, field: str
) -> None:
    """At every level; the error names the field."""
    with refused("INVALID_REQUEST", "INVALID_ARGUMENT") as caught:
        stub.Compute(request_)
    assert detail_of(caught.value).field == field
    assert f"`{field}`" in caught.value.details()


def test_other_requests_are_read_as_strictly(stub: Stub) -> None:
    """Prepare and GetServerInfo."""
    future = prepare_request(SIN)
    future.MergeFromString(FUTURE)
    with refused("INVALID_REQUEST"):
        stub.Prepare(future)
    with refused("INVALID_REQUEST") as caught:
        stub.Prepare(prepare_request(SIN, precision=pb.PRECISION_UNSPECIFIED))
    assert detail_of(caught.value).field == "precision"
    info = pb.GetServerInfoRequest()
    info.MergeFromString(FUTURE)
    with refused("INVALID_REQUEST"):
        stub.GetServerInfo(info)


def test_the_context_may_hold_what_it_likes(stub: Stub) -> None:
    """It changes no result."""
    request = _edit(lambda r: r.context.MergeFromString(FUTURE))
    request.inline.context.MergeFromString(FUTURE)
    stub.Compute(request)
    info = pb.GetServerInfoRequest()
    info.context.MergeFromString(FUTURE)
    stub.GetServerInfo(info)


@pytest.mark.parametrize("method", ["Prepare", "Compute", "GetServerInfo"])
def test_bytes_that_are_no_request_are_refused(app: App, method: str) -> None:
    """With an error of ours, and the process goes on."""
    with grpc.insecure_channel(app.address) as channel:
        call = channel.unary_unary(f"/gradwire.v1.DerivativeService/{method}")
        for data in (b"\x0a\xff", b"\x0a\x02\x0a\x05", b"\xff" * 100):
            with refused("INVALID_REQUEST", "INVALID_ARGUMENT"):
                call(data)


def test_a_call_id_comes_back(stub: Stub) -> None:
    """In the detail of an error; one is made if need be. At its bound it is taken, over it not."""
    for length, reason in ((128, "PLAN_NOT_FOUND"), (129, "LIMIT_EXCEEDED")):
        request = pb.ComputeRequest(plan_id="none")
        request.context.call_id = "é" * length
        with refused(reason) as caught:
            stub.Compute(request)
        assert "é" * 90 in detail_of(caught.value).call_id
    with refused("PLAN_NOT_FOUND") as caught:
        stub.Compute(pb.ComputeRequest(plan_id="none"))
    assert len(detail_of(caught.value).call_id) == 32


def test_prepare_answers_in_time(app: App, stub: Stub) -> None:
    """With the time to ask again, while it compiles; then with the plan."""
    source = program(function([vector(3)], node("exp", [0], 1), results=[1]))
    request = prepare_request(source)
    request.max_wait.nanos = 10**7
    with compilers_blocked(app) as release:
        for _ in range(2):
            reply = stub.Prepare(request, timeout=10)
            assert reply.WhichOneof("outcome") == "poll_after"
            assert reply.poll_after.ToMilliseconds() > 0
            assert reply.replica_id == "test"
        with refused("STILL_COMPILING", "RESOURCE_EXHAUSTED") as caught:
            stub.Compute(pb.ComputeRequest(inline=request, inputs=inputs([X])), timeout=10)
        assert retry_delay_of(caught.value) == 1.0
        assert detail_of(caught.value).retryable
        release()
    request.max_wait.seconds = 60
    assert stub.Prepare(request).plan.id


def test_a_compile_outlives_its_caller(app: App, stub: Stub) -> None:
    """Its deadline passes, and the next caller finds the plan."""
    source = program(function([vector(3)], node("expm1", [0], 1), results=[1]))
    assert eventually(lambda: app.compile_pool.busy == app.compile_pool.waiting == 0)
    before = app.plans.counts.compiled
    with compilers_blocked(app) as release:
        for call in (
            lambda: stub.Prepare(prepare_request(source), timeout=0.3),
            lambda: stub.Compute(inline(source, X), timeout=0.3),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert eventually(lambda: app.lifecycle.calls == 0)
        release()
    assert eventually(lambda: app.plans.counts.compiled == before + 1)
    assert eventually(lambda: app.compile_pool.busy == 0)
    assert stub.Prepare(prepare_request(source)).plan.cached


def test_a_caller_who_hangs_up_frees_his_thread(app: App, stub: Stub) -> None:
    """Although its program isn't compiled yet."""
    source = program(function([vector(3)], node("log1p", [0], 1), results=[1]))
    with compilers_blocked(app):
        call = stub.Prepare.future(prepare_request(source))
        assert eventually(lambda: app.scheduler.waiting_for_compile == 1)
        call.cancel()
        assert eventually(lambda: app.lifecycle.calls == 0)


def test_calls_of_one_program_compile_it_once(app: App, stub: Stub) -> None:
    """Those with the program inline, too."""
    source = program(function([vector(3)], node("cosh", [0], 1), results=[1]))
    assert eventually(lambda: app.compile_pool.busy == app.compile_pool.waiting == 0)
    before = app.plans.counts.compiled
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: stub.Compute(inline(source, X)), range(16)))
    assert app.plans.counts.compiled == before + 1
    for reply in replies:
        np.testing.assert_allclose(outputs(reply)[0], np.cosh(X), rtol=1e-15)


def test_a_fault_is_logged_and_not_told(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the traceback under the call's id; the caller has the id."""

    def fail(x: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setitem(compiler.LOWERINGS, "sinh", fail)
    request = inline(program(function([vector(3)], node("sinh", [0], 1), results=[1])), X)
    request.context.call_id = "the-call"
    with refused("INTERNAL", "INTERNAL") as caught:
        stub.Compute(request)
    assert "secret" not in str(caught.value)
    assert detail_of(caught.value).call_id == "the-call"
    (record,) = [r for r in caplog.records if r.getMessage() == "a call failed"]
    assert getattr(record, FIELDS) == {"call_id": "the-call"}
    assert "ZeroDivisionError: secret" in caplog.text


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
            large = program(function([vector(500)], node("sin", [0], 1), results=[1]))
            with refused("OVERLOADED") as caught:
                stub.Compute(inline(large, np.ones(500)))
            assert "`max_bytes_in_flight` is 1000" in caught.value.details()
            release()
            assert first.result(60).plan.id
        assert outputs(stub.Compute(inline(large, np.ones(500))))[0].shape == (500,)


def test_calls_are_bounded(tmp_path: Path) -> None:
    """One over the bound gets a time to retry; those at it are served."""
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
    cos = program(function([vector(3)], node("cos", [0], 1), results=[1]))
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
    sources = [program(function([vector(n + 1)], node("sin", [0], 1), results=[1]))
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

    with serving(tmp_path, max_executions=1, max_waiting_executions=1) as (_, stub):
        plan_id = stub.Prepare(prepare_request(SIN)).plan.id
        request = pb.ComputeRequest(plan_id=plan_id, inputs=inputs([X]))
        monkeypatch.setattr(executable.Executable, "__call__", slow)
        running = stub.Compute.future(request)
        assert begun.acquire(timeout=10)
        waiting = stub.Compute.future(request, timeout=0.5)
        time.sleep(0.1)
        with refused("OVERLOADED", "RESOURCE_EXHAUSTED") as caught:
            stub.Compute(request)
        assert "`max_waiting_executions` is 1" in caught.value.details()
        with pytest.raises(grpc.RpcError) as late:
            waiting.result(10)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        released.set()
        assert running.result(10).plan_id == plan_id
        assert stub.Compute(request).timing.queue_seconds < 1


def test_a_call_without_a_deadline_gets_one(tmp_path: Path) -> None:
    """No call keeps a thread for ever; the error is the server's own."""
    bounds = {"default_prepare_seconds": 1, "default_compute_seconds": 1}
    with serving(tmp_path, **bounds) as (app, stub), compilers_blocked(app):
        for call, request in ((stub.Prepare, prepare_request(SIN)), (stub.Compute, inline(SIN, X))):
            start = time.monotonic()
            with refused("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"):
                call(request)
            assert 0.9 < time.monotonic() - start < 10


def test_a_server_says_what_it_is(stub: Stub, app: App) -> None:
    """Versions, ops, limits and devices."""
    info = stub.GetServerInfo(pb.GetServerInfoRequest())
    assert info.server_version
    assert info.replica_id == "test"
    assert list(info.opsets) == [OPSET_VERSION]
    assert list(info.ops) == sorted(OPS)
    limits = {limit.name: limit.value for limit in info.limits}
    assert limits == app.settings.limits()
    assert limits["max_batch_rows"] == 8
    assert info.devices[0].platform in ("cpu", "gpu")
    assert info.devices[0].memory_bytes > 0
    assert any(library.startswith("jax 0.") for library in info.libraries)


def test_programs_are_checked(stub: Stub) -> None:
    """Prepare and Compute refuse one that is wrong, with function and node."""
    wrong = program(function([vector(3)], node("sin", [7], 1), results=[1]))
    for call, request in ((stub.Prepare, prepare_request(wrong)), (stub.Compute, inline(wrong, X))):
        with refused("INVALID_PROGRAM", "INVALID_ARGUMENT") as caught:
            call(request)
        detail = detail_of(caught.value)
        assert (detail.HasField("node"), detail.function, detail.node) == (True, 0, 0)
    with refused("MALFORMED_PROGRAM"):
        stub.Prepare(pb.PrepareRequest(program=b"\x0a\xff", precision=pb.PRECISION_HIGH))


def test_precision_is_part_of_a_plan(stub: Stub) -> None:
    """The same program under another is another plan."""
    ids = {stub.Prepare(prepare_request(SIN, precision=precision)).plan.id
           for precision in (1, 2, 3)}  # fmt: skip
    assert len(ids) == 3


def test_an_unknown_method_is_unimplemented(app: App) -> None:
    """By gRPC itself."""
    with grpc.insecure_channel(app.address) as channel:
        call = channel.unary_unary("/gradwire.v1.DerivativeService/Session")
        with pytest.raises(grpc.RpcError) as caught:
            call(encode_program(SIN))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
