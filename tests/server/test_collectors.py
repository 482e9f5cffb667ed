"""What the parts of a server count shows in its metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradwire.v1 import service_pb2 as pb
from monitoring import page_at, samples_of
from programs import SIN, X, function, node, program, vector
from serving import inline, inputs, prepare_request, refused, serving

EXECUTE = (("method", "Compute"), ("stage", "execute"))
JACOBIAN = program(
    function([vector(3)], node("sin", [0], 1), results=[1]),
    function([vector(3)], node("jacobian", [0], 1, 2, functions=[0]), results=[2]),
    mapped=[True],
)


def test_a_server_under_use_shows_it(tmp_path: Path) -> None:
    """Over HTTP, as Prometheus reads it; a call is there as soon as it has ended."""
    values = {"metrics": "127.0.0.1:0", "max_plans": 1, "cache_dir": str(tmp_path / "cache")}
    with serving(tmp_path, **values) as (app, stub):
        plan_id = stub.Prepare(prepare_request(SIN)).plan.id
        stub.Compute(pb.ComputeRequest(plan_id=plan_id, inputs=inputs([X])))
        stub.Compute(inline(JACOBIAN, np.ones((3, 3))))
        with refused("PLAN_NOT_FOUND"):
            stub.Compute(pb.ComputeRequest(plan_id=plan_id, inputs=inputs([X])))
        stub.GetServerInfo(pb.GetServerInfoRequest())
        assert app.metrics_url is not None
        status, text = page_at(f"{app.metrics_url}/metrics")
        assert status == 200
        samples = samples_of(text)
    for method, operator, code in (
        ("Prepare", "function", "OK"),
        ("Compute", "function", "OK"),
        ("Compute", "jacobian", "OK"),
        ("Compute", "", "NOT_FOUND"),
        ("GetServerInfo", "", "OK"),
    ):
        labels = (("method", method), ("operator", operator), ("status", code))
        assert samples["gradwire_calls_total", labels] == 1
    for name, value in (
        ("calls_in_flight", 0),
        ("plans_held", 1),
        ("plan_hits_total", 1),
        ("plan_misses_total", 3),
        ("plan_evictions_total", 1),
        ("executables_compiled_total", 2),
        ("executables_loaded_total", 0),
        ("batch_rows_count", 1),
        ("batch_rows_sum", 3),
        ("compiles_waiting", 0),
        ("compiles_running", 0),
        ("executables_failed_total", 0),
        ("executions_running", 0),
        ("executions_waiting", 0),
        ("calls_waiting", 0),
        ("bytes_in_flight", 0),
        ("ready", 1),
        ("draining", 0),
        ("records_dropped_total", 0),
        ("cache_failed_writes_total", 0),
        ("retries_total", 0),
    ):
        assert samples[f"gradwire_{name}", ()] == value, name
    assert samples["gradwire_plans_held_bytes", ()] > 2**18
    assert samples["gradwire_limit", (("limit", "max_plans"),)] == 1
    busy = samples["gradwire_device_busy_seconds_total", ()]
    assert 0 < busy <= samples["gradwire_stage_seconds_sum", EXECUTE]
    assert 0 < samples["gradwire_compile_seconds_total", ()] < 60
    files = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    on_disk = sum(path.stat().st_size for path in files)
    assert samples["gradwire_cache_bytes", ()] == on_disk > 1000
    assert samples["gradwire_cache_free_bytes", ()] > 0
    (build,) = [dict(labels) for name, labels in samples if name == "gradwire_build_info"]
    assert (build["replica"], build["platform"]) == ("test", "cpu")
    assert set(build) == {
        "version",
        "jax",
        "jaxlib",
        "python",
        "platform",
        "device_kind",
        "replica",
    }
    assert samples["gradwire_received_bytes_total", ()] > 100
    assert samples["gradwire_sent_bytes_total", ()] > 100
