"""Requests that are never sent whole, behind Envoy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from deploy.fleet import Fleet, X, check_sines, sines
from deploy.gateway import deployed
from deploy.scripted_fleet import call_once, scripted
from gradwire.transport.connection import connect
from gradwire.v1 import service_pb2
from raw_requests import RawConnection, grpc_message
from scripted_server import after
from server_process import eventually

pytestmark = pytest.mark.deploy

COMPUTE = "/gradwire.v1.DerivativeService/Compute"
HALF = grpc_message(service_pb2.ComputeRequest(plan_id="x" * 64).SerializeToString())[:-8]


def _impatient(seconds: float) -> Any:
    """The configuration with a shorter time for requests to arrive."""
    config = deployed()
    (listener,) = (x for x in config["static_resources"]["listeners"] if x["name"] == "calls")
    connections = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert connections["request_timeout"] == "60s"
    connections["request_timeout"] = f"{seconds}s"
    return config


def test_envoy_ends_half_sent_requests(tmp_path: Path) -> None:
    """Each in its time, the server hears no more of them, and others' calls of any length go on."""
    with (
        scripted(tmp_path, _impatient(1.0)) as (server, gateway, _),
        RawConnection(gateway.target) as flood,
        connect(gateway.target) as connection,
    ):
        program = b"a program, as far as client and Envoy know"
        connection.prepare(program)
        start = time.monotonic()
        sent = [flood.begin(COMPUTE, HALF) for _ in range(200)]
        assert call_once(gateway.target) is grpc.StatusCode.OK
        server.then("Compute", after(3))
        np.testing.assert_array_equal(connection.compute(program, [X]).outputs[0], X)
        assert time.monotonic() - start > 3
        assert sorted(flood.ended) == sent
        assert not flood.lost
        assert gateway.count("http.calls.downstream_rq_timeout") == len(sent)
        assert eventually(lambda: [s["calls"] for s in gateway.servers().values()] == [0])


def test_half_sent_requests_of_one_caller_keep_no_other_out(tmp_path: Path) -> None:
    """Though to the server they have the same address, and long before Envoy ends them."""
    with (
        Fleet(tmp_path, 1) as fleet,
        RawConnection(fleet.gateway.target) as flood,
        fleet.connect() as connection,
    ):
        for _ in range(200):
            flood.begin(COMPUTE, HALF)
        for count in range(1, 4):
            start = time.monotonic()
            check_sines(connection.compute(sines(count), [X]).outputs[0], count)
            assert time.monotonic() - start < 5
        assert fleet.gateway.count("http.calls.downstream_rq_active") > 32
