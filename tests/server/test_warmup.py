"""Programs recorded by one server and prepared by the next, before it accepts calls."""

from __future__ import annotations

import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from gradwire.v1 import service_pb2 as pb
from gradwire_server.app import App, build
from gradwire_server.config.settings import Settings
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.start_error import StartError
from gradwire_server.warmup import ProgramRecorder, read_records
from programs import chain, function, node, program, vector
from server_process import eventually
from serving import (
    compilers_blocked,
    health_of,
    inline,
    outputs,
    prepare_request,
    refused,
    serving,
    settings_in,
    stub_to,
)

X = np.array([0.5, -1.0, 2.0])
SIN = program(function([vector(3)], node("sin", [0], 1), results=[1]))
COS = program(function([vector(3)], node("cos", [0], 1), results=[1]))
MAPPED = program(function([vector(3)], node("tanh", [0], 1), results=[1]), mapped=[True])
MANY = 2**20


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """The directory of what one server recorded: SIN inline, COS by name, MAPPED for two sizes."""
    folder = tmp_path / "records"
    with serving(tmp_path, record_dir=str(folder)) as (_, stub):
        stub.Compute(inline(SIN, X))
        stub.Compute(pb.ComputeRequest(
            plan_id=stub.Prepare(prepare_request(COS)).plan.id, inputs=inline(COS, X).inputs
        ))  # fmt: skip
        for rows in (3, 4, 9):
            stub.Compute(inline(MAPPED, np.ones((rows, 3))))
        assert eventually(lambda: _sizes(folder) == [[], [], [4, 16]])
    return folder


def _sizes(folder: Path) -> list[list[int]]:
    parsed = (pb.PrepareRequest.FromString(path.read_bytes()) for path in folder.glob("*.pb"))
    return sorted(list(request.batch_sizes) for request in parsed)


def _in(folder: Path, **values: Any) -> Settings:
    return settings_in(folder, record_dir=str(folder), warm_dir=str(folder), **values)


def _kept(folder: Path, **values: Any) -> int:
    """How many of three programs, each of 100 bytes, are recorded under these bounds."""
    recorder = ProgramRecorder(_in(folder, **values))
    for letter in (b"a", b"b", b"c"):
        recorder.add(letter * 100, "highest", NO_BATCH)
    return len(list(folder.iterdir()))


@contextmanager
def _starting(app: App) -> Iterator[None]:
    """Starts a server in another thread."""
    thread = threading.Thread(target=app.start)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
        app.stop(0.0)
    assert not thread.is_alive()


def test_a_new_server_compiles_nothing_for_its_first_calls(tmp_path: Path, records: Path) -> None:
    """What was recorded elsewhere is ready: plans by name, and each batch size."""
    with serving(tmp_path, warm_dir=str(records)) as (app, stub):
        assert app.plans.counts.compiled == 4
        np.testing.assert_array_equal(outputs(stub.Compute(inline(SIN, X)))[0], np.sin(X))
        assert stub.Prepare(prepare_request(COS)).plan.cached
        assert stub.Prepare(prepare_request(MAPPED, batch_sizes=[3, 16])).plan.cached
        assert app.plans.counts.compiled == 4


def test_a_record_holds_no_input_and_no_name(records: Path) -> None:
    """It is the caller's program; the caller and the inputs are left out."""
    for path in records.iterdir():
        request = pb.PrepareRequest.FromString(path.read_bytes())
        assert not request.HasField("context")
        assert path.stat().st_mode & 0o077 == 0
        assert X.tobytes() not in path.read_bytes()


def test_a_program_that_fails_is_not_recorded(tmp_path: Path) -> None:
    """Nor one that was only refused."""
    with serving(tmp_path, record_dir=str(tmp_path / "records")) as (_, stub):
        with refused("INVALID_REQUEST"):
            stub.Prepare(prepare_request(SIN, batch_sizes=[1]))
        with refused("MALFORMED_PROGRAM"):
            stub.Prepare(pb.PrepareRequest(program=b"x", precision=pb.PRECISION_HIGHEST))
    assert list((tmp_path / "records").iterdir()) == []


def test_calls_are_refused_until_all_is_ready(tmp_path: Path, records: Path) -> None:
    """Meanwhile the server is alive, isn't ready, and each of its probes says so."""
    app = build(settings_in(tmp_path, warm_dir=str(records), metrics="127.0.0.1:0"))
    with compilers_blocked(app) as release, _starting(app):
        assert eventually(lambda: bool(app.address))
        with stub_to(app) as stub, grpc.insecure_channel(app.address) as channel:
            with refused("DRAINING", "UNAVAILABLE"):
                stub.Compute(inline(SIN, X), timeout=10)
            assert health_of(channel) == check_status("NOT_SERVING")
            with pytest.raises(urllib.error.HTTPError) as page:
                urllib.request.urlopen(f"{app.metrics_url}/readyz", timeout=10)
            with page.value:
                assert (page.value.code, page.value.read()) == (503, b"starting\n")
            with urllib.request.urlopen(f"{app.metrics_url}/livez", timeout=10) as page:
                assert page.status == 200
            release()
            assert eventually(lambda: app.lifecycle.state == "serving")
            assert health_of(channel) == check_status("SERVING")
            stub.Compute(inline(SIN, X), timeout=10)


def check_status(name: str) -> int:
    """The number of a health status."""
    return int(health_pb2.HealthCheckResponse.ServingStatus.Value(name))


def test_the_time_is_bounded(tmp_path: Path, records: Path) -> None:
    """When it is over, the server takes calls without the rest."""
    app = build(settings_in(tmp_path, warm_dir=str(records), max_warm_seconds=1.0))
    with compilers_blocked(app), _starting(app):
        assert eventually(lambda: app.lifecycle.state == "serving")
        assert app.plans.counts.compiled == 0


def test_a_server_that_is_to_stop_does_not_go_on(tmp_path: Path, records: Path) -> None:
    """A signal while it prepares ends it soon, and it never takes a call."""
    app = build(settings_in(tmp_path, warm_dir=str(records)))
    with compilers_blocked(app):
        app.start(wanted=lambda: False)
        assert app.lifecycle.state == "starting"
        app.stop(0.0)


def test_a_bad_record_is_left_out(
    tmp_path: Path, records: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning for each; the others are prepared."""
    good = min(records.iterdir())
    unknown = good.read_bytes() + b"\xfa\x07\x01x"  # a field 127
    (records / "cut.pb").write_bytes(good.read_bytes()[:-1])
    (records / "empty.pb").write_bytes(b"")
    (records / "unknown.pb").write_bytes(unknown)
    (records / "folder.pb").mkdir()
    (records / "nowhere.pb").symlink_to(records / "nothing")
    os.mkfifo(records / "pipe.pb")
    (records / "many.pb").write_bytes(b"\x20\x01" * 70_000)
    refused = prepare_request(SIN, batch_sizes=[1]).SerializeToString()
    (records / "refused.pb").write_bytes(refused)
    (records / "note.txt").write_bytes(b"not a record, and not looked at")
    with serving(tmp_path, warm_dir=str(records)) as (app, _):
        assert app.plans.counts.compiled == 4
    warned = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    for name in ("cut", "empty", "unknown", "folder", "nowhere", "pipe", "many"):
        assert sum(f"{name}.pb" in message for message in warned) == 1, warned
    assert sum("`batch_sizes` must be empty" in message for message in warned) == 1
    assert len(warned) == 8


def test_records_may_be_links(tmp_path: Path, records: Path) -> None:
    """As Kubernetes mounts a ConfigMap."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "..data").symlink_to(records)
    for path in records.iterdir():
        (mounted / path.name).symlink_to(f"..data/{path.name}")
    assert len(read_records(settings_in(tmp_path, warm_dir=str(mounted)))) == 3


def test_recording_and_warming_may_share_a_directory(tmp_path: Path, records: Path) -> None:
    """A server that restarts keeps what the last one recorded, and adds to it."""
    before = {path.name: path.read_bytes() for path in records.iterdir()}
    with serving(tmp_path, warm_dir=str(records), record_dir=str(records)) as (_, stub):
        assert {path.name: path.read_bytes() for path in records.iterdir()} == before
        stub.Compute(inline(MAPPED, np.ones((2, 3))))
        assert eventually(lambda: _sizes(records) == [[], [], [2, 4, 16]])


def test_a_damaged_record_is_written_anew(tmp_path: Path) -> None:
    """Otherwise it would be lost for ever."""
    recorder = ProgramRecorder(_in(tmp_path))
    recorder.add(b"program", "highest", NO_BATCH)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(b"\xff")
    ProgramRecorder(_in(tmp_path)).add(b"program", "highest", NO_BATCH)
    assert path.read_bytes() == whole


def test_programs_recorded_are_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the bound all are kept, one over it one is not; with one warning."""
    assert _kept(tmp_path / "at", max_recorded_programs=3) == 3
    assert "is full" not in caplog.text
    assert _kept(tmp_path / "over", max_recorded_programs=2) == 2
    assert _kept(tmp_path / "far", max_recorded_programs=1) == 1
    assert caplog.text.count("`record_dir` is full") == 2


def test_bytes_recorded_are_bounded(tmp_path: Path) -> None:
    """All files together; those that were there before count."""
    assert _kept(tmp_path / "all") == 3
    total = sum(path.stat().st_size for path in (tmp_path / "all").iterdir())
    assert _kept(tmp_path / "at", max_recorded_bytes=total) == 3
    assert _kept(tmp_path / "over", max_recorded_bytes=total - 1) == 2
    full = ProgramRecorder(_in(tmp_path / "at", max_recorded_bytes=total))
    full.add(b"d", "highest", NO_BATCH)
    assert len(list((tmp_path / "at").iterdir())) == 3


def test_files_read_are_bounded(tmp_path: Path) -> None:
    """In number, together and each: at the bound they are read, one over it they are not."""
    _kept(tmp_path / "all")
    paths = sorted((tmp_path / "all").iterdir())
    total, one = sum(p.stat().st_size for p in paths), paths[0].stat().st_size
    for name, at in (
        ("max_recorded_programs", 3), ("max_recorded_bytes", total), ("max_message_bytes", one),
    ):  # fmt: skip
        assert len(read_records(_in(tmp_path / "all", **{name: at}))) == 3, name
        left = 0 if name == "max_message_bytes" else 2
        assert len(read_records(_in(tmp_path / "all", **{name: at - 1}))) == left, name


def test_a_full_disk_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What can't be written is not recorded, with a warning, and calls go on."""
    with serving(tmp_path, record_dir=str(tmp_path / "records")) as (_, stub):
        shutil.rmtree(tmp_path / "records")
        stub.Compute(inline(program(chain("sin", 3, vector(3))), X))
        assert eventually(lambda: "can't be written" in caplog.text)


def test_a_directory_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    """It was set explicitly: the server doesn't start without it."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StartError, match="`record_dir` can't be used"):
        build(settings_in(tmp_path, record_dir=str(tmp_path / "file")))
    for missing in ("file", "nothing"):
        app = build(settings_in(tmp_path, warm_dir=str(tmp_path / missing)))
        with pytest.raises(StartError, match="`warm_dir` can't be read"):
            app.start()
