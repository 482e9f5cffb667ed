"""Programs that are prepared and run over the wire."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.ir import encode_program
from gradwire.v1 import service_pb2 as pb
from gradwire_server.app import App
from gradwire_server.compiler import compile as compiler
from gradwire_server.observability.logs import FIELDS
from programs import SIN, X, function, node, program, unary, vector
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
)

LOG = replace(
    program(function([vector(3), vector(3)], node("log", [0], 2), results=[2, 1])),
    mapped=(True, False),
)


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


def test_prepare_answers_in_time(app: App, stub: Stub) -> None:
    """With when to ask again, as long as it compiles; then with the plan."""
    source = unary("exp")
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
    """Even if the deadline of its call passes: the next call finds the plan."""
    source = unary("expm1")
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
    source = unary("log1p")
    with compilers_blocked(app):
        call = stub.Prepare.future(prepare_request(source))
        assert eventually(lambda: app.scheduler.waiting_for_compile == 1)
        call.cancel()
        assert eventually(lambda: app.lifecycle.calls == 0)


def test_calls_of_one_program_compile_it_once(app: App, stub: Stub) -> None:
    """Those with the program inline, too."""
    source = unary("cosh")
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
    request = inline(unary("sinh"), X)
    request.context.call_id = "the-call"
    with refused("INTERNAL", "INTERNAL") as caught:
        stub.Compute(request)
    assert "secret" not in str(caught.value)
    assert detail_of(caught.value).call_id == "the-call"
    (record,) = [r for r in caplog.records if r.getMessage() == "a call failed"]
    assert getattr(record, FIELDS) == {"call_id": "the-call"}
    assert "ZeroDivisionError: secret" in caplog.text


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
