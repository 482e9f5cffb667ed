"""Where calls go through Envoy while all servers live."""

from __future__ import annotations

import shutil
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import gradwire as gw
import gradwire_server
from deploy.fleet import Fleet, X, check_sines, sines, slow
from gradwire.errors import InvalidInputError

pytestmark = pytest.mark.deploy

COUNTS = range(1, 25)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture
def fleet(shared: Fleet) -> Fleet:
    """Two healthy servers behind Envoy."""
    shared.restore()
    return shared


def _owners(fleet: Fleet, connections: int = 3, **options: str) -> dict[int, set[str]]:
    """The servers that answer for each program, called one by one."""
    seen: dict[int, set[str]] = defaultdict(set)
    for _ in range(connections):
        with fleet.connect(**options) as connection:
            for count in [*COUNTS, *COUNTS]:
                reply = connection.compute(sines(count), [X])
                check_sines(reply.outputs[0], count)
                seen[count].add(reply.replica_id)
    return seen


def test_a_program_stays_on_one_server(fleet: Fleet) -> None:
    """For every caller, and each server has some of the programs."""
    owners = _owners(fleet)
    assert {len(servers) for servers in owners.values()} == {1}, fleet.gateway.servers()
    shares = Counter(server for servers in owners.values() for server in servers)
    assert set(shares) == set(fleet.servers)
    assert min(shares.values()) >= len(COUNTS) / 4


def test_a_program_is_compiled_once_in_the_fleet(fleet: Fleet) -> None:
    """Affinity by the program is worth it for this."""
    with fleet.connect() as connection:
        for count in COUNTS:
            connection.compute(sines(count), [X])
    with fleet.connect() as connection:
        assert all(connection.prepare(sines(count)).cached for count in COUNTS)


def test_the_callers_affinity_comes_first(fleet: Fleet) -> None:
    """All programs of a connection that has one go to one server, and affinities differ."""
    servers = [
        set.union(*_owners(fleet, connections=1, affinity=f"job {number}").values())
        for number in range(6)
    ]
    assert {len(server) for server in servers} == {1}
    assert set.union(*servers) == set(fleet.servers)


def test_a_hot_program_does_not_own_one_server(fleet: Fleet) -> None:
    """What overflows travels inline and runs elsewhere: the same values, and no error."""
    program, threads, calls = slow(1_000_000), 10, 20
    before = len(fleet.gateway.calls())

    def work(_: int) -> list[tuple[str, bytes]]:
        with fleet.connect() as connection:
            replies = [connection.compute(program, [X]) for _ in range(calls)]
        return [(reply.replica_id, reply.outputs[0].tobytes()) for reply in replies]

    with ThreadPoolExecutor(threads) as pool:
        replies = [reply for part in pool.map(work, range(threads)) for reply in part]
    assert len({values for _, values in replies}) == 1
    shares = sorted(Counter(server for server, _ in replies).values())
    assert len(shares) == 2
    # With factor 1.5 the owner has at most ceil(1.5 * (9 + 1) / 2) = 8 of 10.
    assert shares[1] / sum(shares) < 0.9
    statuses = {call["grpc_status"] for call in fleet.gateway.calls(before)}
    assert statuses <= {"OK", "NotFound"}, statuses


def test_errors_pass_as_they_are(fleet: Fleet) -> None:
    """With the reason, the field and the call's id, which travel in trailers."""
    with fleet.connect() as connection, pytest.raises(InvalidInputError) as caught:
        connection.compute(sines(1), [np.zeros(4)])
    assert caught.value.field.startswith("inputs[0]")
    assert caught.value.call_id


def test_two_versions_serve_every_program(fleet: Fleet, tmp_path: Path) -> None:
    """One server after the other is upgraded; plan ids differ, and no call fails.

    Each caller meets an unknown plan at most once for each program and server.
    """
    tree = _another_version(tmp_path)
    plans = _plan_ids(fleet)
    for number, server in enumerate(fleet.servers.values(), 1):
        with fleet.connect() as early:
            for count in COUNTS:
                early.compute(sines(count), [X])
            server.end(signal.SIGTERM)
            server.environment = {"PYTHONPATH": str(tree)}
            server.start()
            fleet.restore()
            before = len(fleet.gateway.calls())
            for _ in range(3):
                for count in COUNTS:
                    check_sines(early.compute(sines(count), [X]).outputs[0], count)
            unknown = [c for c in fleet.gateway.calls(before) if c["grpc_status"] != "OK"]
            assert len(unknown) <= len(COUNTS)
            assert {call["grpc_status"] for call in unknown} <= {"NotFound"}
        assert _versions(fleet).count("9.9") == number
    assert not set(plans.values()) & set(_plan_ids(fleet).values())


def test_a_hot_program_between_two_versions_is_served(fleet: Fleet, tmp_path: Path) -> None:
    """Its calls go to and fro between servers that don't know each other's plans.

    A call takes two messages at the most: by the plan's id, then inline.
    """
    server = next(iter(fleet.servers.values()))
    server.end(signal.SIGTERM)
    server.environment = {"PYTHONPATH": str(_another_version(tmp_path, "9.8"))}
    server.start()
    fleet.restore()
    program, threads, calls = slow(999_999), 10, 12
    before = len(fleet.gateway.calls())

    def work(_: int) -> list[str]:
        with fleet.connect() as connection:
            return [connection.compute(program, [X]).plan_id for _ in range(calls)]

    with ThreadPoolExecutor(threads) as pool:
        plans = {plan for part in pool.map(work, range(threads)) for plan in part}
    assert len(plans) == 2
    computes = [c for c in fleet.gateway.calls(before) if c["method"].endswith("Compute")]
    assert {call["grpc_status"] for call in computes} == {"OK", "NotFound"}
    assert len(computes) <= 2 * threads * calls


def _plan_ids(fleet: Fleet) -> dict[int, str]:
    with fleet.connect() as connection:
        return {count: connection.compute(sines(count), [X]).plan_id for count in COUNTS}


def _versions(fleet: Fleet) -> list[str]:
    found = []
    for server in fleet.servers.values():
        with gw.connect(server.target) as connection:
            found.append(connection.info().server_version)
    return found


def _another_version(folder: Path, version: str = "9.9") -> Path:
    """This tree under another version, as another release would be installed."""
    tree = folder / version
    for package in (gw, gradwire_server):
        source = Path(package.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, tree / source.name, ignore=ignored)
    information = tree / f"gradwire-{version}.dist-info"
    information.mkdir()
    text = f"Metadata-Version: 2.1\nName: gradwire\nVersion: {version}\n"
    (information / "METADATA").write_text(text, encoding="utf-8")
    return tree
