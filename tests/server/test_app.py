from __future__ import annotations

import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gradwire.v1 import service_pb2 as pb
from gradwire_server.app import build
from gradwire_server.compiler import compile as compiler
from gradwire_server.rpc.admission.receive_timeouts import HALF_SENT_SECONDS
from gradwire_server.rpc.service import SERVICE_NAME
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.start_error import StartError
from programs import SIN, X, unary
from raw_requests import RawConnection, grpc_message
from server_process import eventually
from serving import (
    compilers_blocked,
    detail_of,
    health_of,
    inline,
    outputs,
    prepare_request,
    refused,
    serving,
    settings_in,
    stub_to,
)

Status = health_pb2.HealthCheckResponse


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """What a server starts, it ends."""
    before = set(threading.enumerate())
    yield
    assert eventually(lambda: not [t for t in threading.enumerate() if t not in before]), [
        thread.name for thread in threading.enumerate() if thread not in before
    ]


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0", "localhost:0", None])
def test_a_server_is_reached_at_its_address(tmp_path: Path, listen: str | None) -> None:
    """Of each kind, with the port that it got; then it is gone."""
    values = {} if listen is None else {"listen": listen}
    with serving(tmp_path, **values) as (app, stub):
        if listen is not None:
            assert app.address.rpartition(":")[0] == listen.rpartition(":")[0]
        assert stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=10).replica_id == "test"
        address = app.address
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE_NAME}/GetServerInfo")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_health_is_served(tmp_path: Path) -> None:
    """Under the empty name and the service's, and no other."""
    with serving(tmp_path) as (app, _), grpc.insecure_channel(app.address) as channel:
        assert health_of(channel, "") == Status.SERVING
        assert health_of(channel, SERVICE_NAME) == Status.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            health_of(channel, "gradwire.v1.Other")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_is_served(tmp_path: Path) -> None:
    """For tools such as grpcurl: the names of services, and the files that describe them."""
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE_NAME),
    ]
    with serving(tmp_path) as (app, _), grpc.insecure_channel(app.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        listed, described = stub.ServerReflectionInfo(iter(requests), timeout=10)
    names = {service.name for service in listed.list_services_response.service}
    assert names == {
        SERVICE_NAME, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection",
    }  # fmt: skip
    files = described.file_descriptor_response.file_descriptor_proto
    assert any(b"DerivativeService" in file for file in files)


def test_an_address_in_use_is_an_error(tmp_path: Path) -> None:
    """For calls and for metrics; nothing of the server is left."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        for values in ({"listen": taken}, {"metrics": taken}):
            app = build(settings_in(tmp_path, **values))
            with pytest.raises(StartError):
                app.start()
            assert (app.address, app.metrics_url) == ("", None)


def test_a_socket_of_a_living_server_is_left_to_it(tmp_path: Path) -> None:
    """Else gRPC takes it away, and nobody reaches the first server any more."""
    with serving(tmp_path) as (app, stub):
        with pytest.raises(StartError, match=f"`listen` must be free; got '{app.address}'"):
            build(settings_in(tmp_path)).start()
        assert stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=10).opsets
        with stub_to(app) as another:
            assert another.GetServerInfo(pb.GetServerInfoRequest(), timeout=10).opsets


def test_a_socket_left_by_a_dead_server_is_replaced(tmp_path: Path) -> None:
    """It would else have to be removed by hand."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "socket"))
    with serving(tmp_path) as (_, stub):
        stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=10)


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (lambda path: path.write_text("mine"), "a file"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.symlink_to(path.parent / "elsewhere"), "a link"),
        (os.mkfifo, "no socket"),
    ],
    ids=["file", "folder", "link", "pipe"],
)
def test_an_address_that_is_no_socket_is_an_error(
    tmp_path: Path, plant: Callable[[Path], object], kind: str
) -> None:
    """It is left as it was, though a socket would be replaced."""
    path = tmp_path / "socket"
    (tmp_path / "elsewhere").write_text("kept")
    plant(path)
    before = path.lstat()
    app = build(settings_in(tmp_path))
    with pytest.raises(StartError) as caught:
        app.start()
    assert str(caught.value) == (
        f"`listen` must be the path of a socket, or of nothing yet; got 'unix:{path}', "
        f"which is {kind}"
    )
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_size, after.st_mtime_ns) == (
        before.st_ino, before.st_mode, before.st_size, before.st_mtime_ns,
    )  # fmt: skip
    assert (tmp_path / "elsewhere").read_text() == "kept"


def test_an_unsafe_cache_directory_is_an_error(tmp_path: Path) -> None:
    """If it was set explicitly; without the default one the server starts all the same."""
    (tmp_path / "executables").symlink_to(tmp_path)
    with pytest.raises(StartError, match=r"`cache_dir` must hold .* is a link"):
        build(settings_in(tmp_path, cache_dir=str(tmp_path)))


def test_the_cache_directory_may_be_a_volume_of_others(tmp_path: Path) -> None:
    """As Kubernetes mounts it for a group; the folder in it is the server's alone."""
    tmp_path.chmod(0o2775)
    with serving(tmp_path, cache_dir=str(tmp_path)):
        assert (tmp_path / "executables").stat().st_mode & 0o777 == 0o700


def test_a_server_without_a_home_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps nothing on disk then, and says so."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with serving(tmp_path, cache_dir="auto") as (_, stub):
        stub.Compute(inline(SIN, X))
    assert "compiled programs are not kept: `cache_dir` can't be made" in caplog.text


def test_a_server_that_starts_again_does_not_compile_again(tmp_path: Path) -> None:
    """It finds its executables on disk, under the same plan id."""
    ids = set()
    for cached in (False, True):
        with serving(tmp_path, cache_dir=str(tmp_path / "cache")) as (app, stub):
            plan = stub.Prepare(prepare_request(SIN)).plan
            assert plan.cached is cached
            assert app.plans.counts.loaded_from_disk == cached
            assert plan.compile_time.ToNanoseconds() > 0
            ids.add(plan.id)
    assert len(ids) == 1


def test_messages_are_bounded_in_both_directions(tmp_path: Path) -> None:
    """By gRPC itself: a request above the bound isn't read. At it, it is."""
    size = 100_000
    with (
        serving(tmp_path, max_message_bytes=size) as (app, _),
        grpc.insecure_channel(app.address) as channel,
    ):
        call = channel.unary_unary(f"/{SERVICE_NAME}/Prepare")
        with refused("INVALID_REQUEST"):
            call(b"\xff" * size)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\xff" * (size + 1))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_are_refused(tmp_path: Path, how: grpc.Compression) -> None:
    """Unread, with a status that says why: a few could inflate to more than there is memory."""
    with (
        serving(tmp_path, max_message_bytes=100_000) as (app, stub),
        grpc.insecure_channel(app.address) as channel,
    ):
        call = channel.unary_unary(f"/{SERVICE_NAME}/Prepare")
        for size in (10, 50_000_000):
            with pytest.raises(grpc.RpcError) as caught:
                call(bytes(size), compression=how)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert how.name.lower() in caught.value.details()
        assert stub.GetServerInfo(pb.GetServerInfoRequest()).opsets


def test_health_answers_under_full_load(tmp_path: Path) -> None:
    """With every call that is allowed in flight, and watches open beside them."""
    with serving(tmp_path, max_calls=8) as (app, stub), compilers_blocked(app) as release:
        calls = [stub.Prepare.future(prepare_request(SIN)) for _ in range(8)]
        assert eventually(lambda: app.lifecycle.calls == 8)
        with grpc.insecure_channel(app.address) as channel:
            watches = [
                health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
                for _ in range(16)
            ]
            for watch in watches:
                assert next(watch).status == Status.SERVING
            start = time.monotonic()
            assert health_of(channel, "") == Status.SERVING
            assert time.monotonic() - start < 10
            for watch in watches:
                watch.cancel()
        release()
        for call in calls:
            assert call.result(60).plan.id


def test_what_is_in_flight_is_finished(tmp_path: Path) -> None:
    """When a server stops; meanwhile it reports so, and accepts nothing new."""
    with serving(tmp_path, metrics="127.0.0.1:0", grace=60.0) as (app, stub):
        stub.Compute(inline(SIN, X))
        with compilers_blocked(app) as release, stub_to(app) as other:
            cos = unary("cos")
            call = stub.Compute.future(inline(cos, X))
            assert eventually(lambda: app.scheduler.waiting_for_compile == 1)
            stopping = threading.Thread(target=app.stop)
            stopping.start()
            assert eventually(lambda: app.lifecycle.state == "draining")
            with refused("DRAINING", "UNAVAILABLE") as caught:
                other.Compute(inline(SIN, X), timeout=10)
            assert detail_of(caught.value).retryable
            with grpc.insecure_channel(app.address) as channel:
                assert health_of(channel, "") == Status.NOT_SERVING
                assert health_of(channel, SERVICE_NAME) == Status.NOT_SERVING
            with pytest.raises(urllib.error.HTTPError) as page:
                urllib.request.urlopen(f"{app.metrics_url}/readyz", timeout=10)
            with page.value:
                assert page.value.code == 503
            release()
            np.testing.assert_array_equal(outputs(call.result(60))[0], np.cos(X))
            stopping.join(30)
            assert not stopping.is_alive()


def test_a_server_may_go_on_until_balancers_know(tmp_path: Path) -> None:
    """For the delay in its settings it reports that it ends, and accepts calls all the same."""
    with (
        serving(tmp_path, metrics="127.0.0.1:0", drain_delay=2.0) as (app, stub),
        grpc.insecure_channel(app.address) as channel,
    ):
        stopping = threading.Thread(target=app.stop)
        start = time.monotonic()
        stopping.start()
        assert eventually(lambda: health_of(channel, SERVICE_NAME) == Status.NOT_SERVING)
        with pytest.raises(urllib.error.HTTPError) as page:
            urllib.request.urlopen(f"{app.metrics_url}/readyz", timeout=10)
        with page.value:
            assert (page.value.code, page.value.read()) == (503, b"leaving\n")
        stub.Compute(inline(SIN, X), timeout=60)
        stopping.join(30)
        assert not stopping.is_alive()
        assert time.monotonic() - start >= 2.0


def test_a_grace_that_is_over_ends_calls(tmp_path: Path) -> None:
    """They are cancelled; the result of stop says that they had not ended."""
    with serving(tmp_path) as (app, stub), compilers_blocked(app):
        call = stub.Prepare.future(prepare_request(SIN))
        assert eventually(lambda: app.lifecycle.calls == 1)
        start = time.monotonic()
        assert not app.stop(0.2)
        assert time.monotonic() - start < 30
        with pytest.raises(grpc.RpcError):
            call.result(10)


def test_a_device_of_another_platform_is_not_served_on(tmp_path: Path) -> None:
    """A missing driver is an error at the start, and the device asked for is used."""
    with pytest.raises(StartError, match=r"`platform` must be .* got 'tpu', .* found 'cpu'"):
        build(settings_in(tmp_path, platform="tpu"))
    with serving(tmp_path, platform="cpu") as (app, _):
        assert app.address


def test_compiles_that_nobody_waits_for_end_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they can't be stopped, take all threads, and another program has come."""
    released, ended = threading.Event(), threading.Event()
    settings = settings_in(tmp_path, compile_workers=1, max_abandoned_seconds=1.0)
    with build(settings, end=ended.set) as app, stub_to(app) as stub:
        monkeypatch.setitem(compiler.LOWERINGS, "sin", lambda *_: released.wait(60))
        gone = stub.Prepare.future(prepare_request(SIN))
        assert eventually(lambda: app.compile_pool.busy == 1, 60)
        gone.cancel()
        assert not ended.wait(2.0)
        assert not app.is_stuck
        call = stub.Prepare.future(prepare_request(unary("cos")))
        assert ended.wait(10)
        assert app.is_stuck
        released.set()
        assert call.result(60).plan.id


def test_a_watch_does_not_use_up_the_grace(tmp_path: Path) -> None:
    """It learns that the server stops, and is ended."""
    app = build(settings_in(tmp_path, grace=60.0))
    app.start()
    with grpc.insecure_channel(app.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == Status.SERVING
        heard: list[int] = []

        def listen() -> None:
            with pytest.raises(grpc.RpcError):
                heard.extend(int(update.status) for update in watch)

        listener = threading.Thread(target=listen)
        listener.start()
        start = time.monotonic()
        assert app.stop()
        assert time.monotonic() - start < 30
        listener.join(10)
        assert heard == [Status.NOT_SERVING]


def test_half_sent_requests_do_not_use_up_the_grace(tmp_path: Path) -> None:
    """What will never be whole is cancelled when the server ends; so are checks of health."""
    app = build(settings_in(tmp_path, listen="127.0.0.1:0", grace=60.0))
    app.start()
    with RawConnection(app.address) as caller:
        half = grpc_message(bytes(100))[:-1]
        paths = [f"/{SERVICE_NAME}/Compute", "/grpc.health.v1.Health/Check"]
        sent = [caller.begin(path, half) for path in paths]
        time.sleep(2 * HALF_SENT_SECONDS)
        start = time.monotonic()
        assert app.stop()
        assert time.monotonic() - start < 5
        assert eventually(lambda: sorted(caller.ended) == sent or caller.lost)


def test_callers_one_after_the_other_hear_of_the_end(tmp_path: Path) -> None:
    """Each call that was begun is answered; the others are refused by us, or not connected.

    Where threads wait for a core, gRPC may also cancel a call that no handler has seen.
    """
    answers: Counter[str] = Counter()
    begun: list[CallRecord] = []
    stop = threading.Event()
    app = build(settings_in(tmp_path))
    app._recorder.add_observers(begun.extend)
    app.start()

    def work() -> None:
        with stub_to(app) as stub:
            while not stop.is_set():
                try:
                    stub.Compute(inline(SIN, X), timeout=10)
                    answers["OK"] += 1
                except grpc.RpcError as error:
                    answers[error.code().name] += 1
                    time.sleep(0.005)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    assert app.stop()
    stop.set()
    for thread in threads:
        thread.join(30)
    assert answers["OK"] == sum(record.status == "OK" for record in begun) > 0
    assert {record.status for record in begun} <= {"OK", "UNAVAILABLE"}
    assert answers.keys() <= {"OK", "UNAVAILABLE", "CANCELLED"}
