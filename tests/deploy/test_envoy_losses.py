"""Servers that die, drain and come back behind Envoy, while callers go on."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import gradwire as gw
from deploy.fleet import Fleet, X, check_sines, sines, slow
from deploy.gateway import DEPLOY, Gateway, deployed, on_loopback
from deploy.traffic import Traffic
from server_process import eventually

pytestmark = pytest.mark.deploy

COUNTS = range(1, 17)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture
def fleet(shared: Fleet) -> Fleet:
    """Two healthy servers behind Envoy."""
    shared.restore()
    return shared


def _owners(fleet: Fleet) -> dict[int, str]:
    with fleet.connect() as connection:
        return {count: connection.compute(sines(count), [X]).replica_id for count in COUNTS}


def _statuses(fleet: Fleet, before: int) -> set[object]:
    return {call["grpc_status"] for call in fleet.gateway.calls(before)}


def test_a_server_that_is_killed_loses_no_call(fleet: Fleet) -> None:
    """Its calls are retried elsewhere; it gets its programs again when it is back."""
    owners = _owners(fleet)
    dead, live = fleet.servers
    assert set(owners.values()) == {dead, live}
    with Traffic(fleet.connect, COUNTS) as traffic:
        fleet.servers[dead].end(signal.SIGKILL)
        assert eventually(lambda: fleet.gateway.well() == {live}, 10)
        traffic.go_on(20)
        tried_again = fleet.gateway.count("cluster.gradwire.upstream_rq_retry")
        time.sleep(1.5)  # for this long, Envoy may hold changes of health back
        assert set(traffic.go_on(100)) == {live}
        assert fleet.gateway.count("cluster.gradwire.upstream_rq_retry") == tried_again
        fleet.restore()
        assert eventually(lambda: dead in traffic.go_on(50), 30)
    assert _owners(fleet) == owners


def test_a_server_that_drains_refuses_no_call(fleet: Fleet) -> None:
    """Its callers are routed elsewhere before it refuses calls: there is not even a retry."""
    leaving, live = fleet.servers
    before = len(fleet.gateway.calls())
    with Traffic(fleet.connect, COUNTS) as traffic:
        assert fleet.servers[leaving].end(signal.SIGTERM) == 0
        assert set(traffic.go_on(100)[20:]) == {live}
        fleet.restore()
        traffic.go_on(100)
    # Moved programs are sent inline once; nothing else is unusual.
    assert _statuses(fleet, before) <= {"OK", "NotFound"}
    assert {call["attempts"] for call in fleet.gateway.calls(before)} == {1}


def test_a_call_in_flight_is_finished_where_it_is(fleet: Fleet) -> None:
    """By the server that drains, while Envoy sends it nothing new."""
    program = slow(1_000_000, 30)
    with fleet.connect() as connection, ThreadPoolExecutor(1) as pool:
        plan = connection.prepare(program)
        call = pool.submit(connection.compute, program, [X])
        assert eventually(lambda: len(_busy(fleet)) == 1)
        (leaving,) = _busy(fleet)
        fleet.servers[leaving].send(signal.SIGTERM)
        assert eventually(lambda: leaving not in fleet.gateway.well())
        assert not call.done()
        reply = call.result(120)
        assert (reply.replica_id, reply.plan_id) == (leaving, plan.id)
        assert connection.compute(sines(1), [X]).replica_id != leaving
    assert fleet.servers[leaving].wait() == 0


def _busy(fleet: Fleet) -> set[str]:
    """The servers that have calls in flight."""
    return {name for name, server in fleet.gateway.servers().items() if server["calls"]}


def test_a_server_with_another_address_owns_the_same_programs(fleet: Fleet) -> None:
    """A pod has another after each start; its cache holds what it owns."""
    owners = _owners(fleet)
    moved, live = fleet.servers
    host, port = "127.0.0.9", fleet.port
    fleet.servers[moved].end(signal.SIGKILL)
    assert set(_owners(fleet).values()) == {live}
    was, fleet.servers[moved].target = fleet.servers[moved].target, f"{host}:{port}"
    try:
        fleet.servers[moved].start()
        fleet.names.addresses[moved] = host
        assert eventually(lambda: fleet.gateway.servers()[moved]["address"] == host, 30)
        fleet.restore()
        assert _owners(fleet) == owners
        with gw.connect(fleet.servers[moved].target) as connection:
            own = [count for count, owner in owners.items() if owner == moved]
            assert own
            assert all(connection.prepare(sines(count)).cached for count in own)
    finally:
        fleet.servers[moved].end(signal.SIGKILL)
        fleet.servers[moved].target = was
        fleet.names.addresses[moved] = was.partition(":")[0]
    fleet.restore()
    assert eventually(lambda: fleet.gateway.servers()[moved]["address"] != host, 30)


def test_a_server_that_dns_forgets_is_kept_while_it_is_well(fleet: Fleet) -> None:
    """A name server that fails takes no server away."""
    forgotten, _ = fleet.servers
    address = fleet.names.addresses.pop(forgotten)
    try:
        looked_up = fleet.gateway.count("cluster.gradwire.update_attempt")
        assert eventually(
            lambda: fleet.gateway.count("cluster.gradwire.update_attempt") > looked_up + 8, 30
        )
        assert forgotten in fleet.gateway.well()
        assert forgotten in set(_owners(fleet).values())
    finally:
        fleet.names.addresses[forgotten] = address


def test_a_server_that_freezes_is_left(fleet: Fleet) -> None:
    """Its health checks time out, and calls go elsewhere; those that it holds, it answers late."""
    frozen, live = fleet.servers
    with fleet.connect() as connection:
        connection.compute(sines(1), [X])
        fleet.servers[frozen].send(signal.SIGSTOP)
        try:
            assert eventually(lambda: fleet.gateway.well() == {live}, 20)
            replies = {connection.compute(sines(count), [X]).replica_id for count in COUNTS}
            assert replies == {live}
        finally:
            fleet.servers[frozen].send(signal.SIGCONT)


def test_all_servers_may_be_gone_for_a_while(fleet: Fleet) -> None:
    """Callers wait, within their deadlines, until there is one again."""
    with fleet.connect() as connection, ThreadPoolExecutor(1) as pool:
        for server in fleet.servers.values():
            server.end(signal.SIGKILL)
        call = pool.submit(connection.compute, sines(1), [X])
        time.sleep(0.5)
        assert not call.done()
        fleet.restore()
        check_sines(call.result(60).outputs[0], 1)


def test_an_envoy_that_is_drained_loses_no_call(fleet: Fleet, tmp_path: Path) -> None:
    """Its clients go to another one, without an error, while their calls in flight end."""
    config = on_loopback(deployed(), fleet.names.port, fleet.port)
    flags = ["--drain-strategy", "immediate", "--drain-time-s", "2"]
    with Gateway(tmp_path, config, *flags) as leaving:
        # gRPC's clients take the first of several addresses that answers.
        target = f"ipv4:{leaving.target},{fleet.gateway.target}"
        with (
            Traffic(lambda: gw.connect(target), COUNTS) as traffic,
            gw.connect(target) as connection,
            ThreadPoolExecutor(1) as pool,
        ):
            program = slow(1_000_000, 30)
            connection.prepare(program)
            call = pool.submit(connection.compute, program, [X])
            time.sleep(0.2)
            assert not call.done()
            ports = [str(leaving.admin_port), leaving.target.rpartition(":")[2]]
            drain = [DEPLOY / "envoy" / "drain.sh", "60", *ports]
            done = subprocess.run(drain, timeout=90, check=False, stderr=subprocess.PIPE)
            assert (done.returncode, done.stderr) == (0, b"")
            assert call.done()
            call.result()
            before = len(leaving.calls())
            traffic.go_on(100)
            assert leaving.calls(before) == []
        assert {call["grpc_status"] for call in leaving.calls()} <= {"OK", "NotFound"}
