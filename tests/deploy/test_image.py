"""The image as it will run: what is in it, how it is confined, how it starts and stops.

`make image-test` builds it and runs these.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
import pytest

import gradwire as gw
from deploy.containers import (
    CONFINED,
    MEMORY,
    USER,
    Container,
    configuration,
    is_healthy,
    run,
    run_in_image,
    volume,
)
from deploy.fleet import X, sines
from deploy.traffic import Traffic
from programs import chain, program, vector
from server_process import eventually
from serving import Stub, inline

pytestmark = [
    pytest.mark.image,
]
confined = pytest.mark.skipif(not CONFINED, reason="this kernel runs no containers")

ROOT = Path(__file__).parents[2]
CACHE = "/var/cache/gradwire"
COUNTS = (1, 2, 3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A server that stays."""
    folder = tmp_path_factory.mktemp("server")
    with Container(folder, "stays", {volume(folder / "cache"): CACHE}) as container:
        yield container


def test_the_image_says_what_it_is() -> None:
    """User, ports, volume, signal, health check and labels are set; no shell starts it."""
    config = configuration()
    labels = {
        name.rpartition(".")[2]: value
        for name, value in config["Labels"].items()
        if name.startswith("org.opencontainers.image.")
    }
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    head = run("git", "-C", str(ROOT), "rev-parse", "HEAD").stdout.strip()
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["gradwire-server"]
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["Volumes"]) == {CACHE}
    assert set(config["ExposedPorts"]) == {"8701/tcp", "8702/tcp"}
    assert config["Healthcheck"]["Test"][-1] == "gradwire_server.process.health_check"
    assert (labels["version"], labels["licenses"]) == (project["version"], project["license"])
    assert labels["revision"].removesuffix("-dirty") == head
    assert {"title", "description", "source"} <= set(labels)


def test_nothing_is_in_it_that_only_a_build_needs() -> None:
    """No compiler, no pip, and nothing of ours or Python's that the server could rewrite."""
    script = """
import os, shutil, subprocess, sys
tools = "cc c++ gcc g++ clang cpp ld as make cmake pip pip3 git curl wget".split()
print([tool for tool in tools if shutil.which(tool)])
for module in ("pip", "ensurepip", "setuptools", "hatchling"):
    for python in ("python3", os.path.realpath(sys.executable)):
        code = f"import importlib.util as u; print(u.find_spec({module!r}))"
        print(subprocess.check_output([python, "-c", code], text=True).strip())
print([path for root in ("/opt", "/usr", "/etc", "/bin") for path, _, _ in os.walk(root)
       if os.access(path, os.W_OK) and os.statvfs(path).f_flag & os.ST_RDONLY == 0])
"""
    done = run_in_image("python", "-c", script)
    assert done.stdout.split("\n")[:-1] == ["[]", *["None"] * 8, "[]"], done.stderr


def test_it_serves_a_network_in_plaintext_only_on_demand() -> None:
    """Without a certificate and without the flag it ends with 2 and says what to set."""
    done = run_in_image("gradwire-server", options=["--env=GRADWIRE_SERVER_METRICS=off"])
    assert done.returncode == 2
    assert "`--allow-plaintext-network`" in done.stderr


@confined
def test_it_is_confined(server: Container) -> None:
    """It is process 1 of another user, can gain no rights, and its root is read-only."""
    status = server.run("cat", "/proc/1/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == [str(USER)] * 4
    assert fields["Gid"].split() == [str(USER)] * 4
    assert fields["NoNewPrivs"] == "1"
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {0}
    assert "gradwire-server" in server.run("cat", "/proc/1/cmdline").stdout
    assert "Read-only" in server.run("touch", "/opt/gradwire/x", check=False).stderr
    limits = server.run(
        "sh", "-c", "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes",
        check=False,
    ).stdout  # fmt: skip
    assert limits.split() == [str(MEMORY)]


def test_it_computes(server: Container) -> None:
    """A client's gradient is right, and LAPACK is there."""
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    with server.connect():
        np.testing.assert_allclose(gw.grad(lambda x: np.sum(x**3))(X), 3 * X**2)
        gradient = gw.grad(lambda a: np.linalg.slogdet(a)[1])(matrix)
    np.testing.assert_allclose(gradient, np.linalg.inv(matrix).T)


def test_it_says_that_it_is_well(server: Container) -> None:
    """By the image's own health check, with what the image holds."""
    command = configuration()["Healthcheck"]["Test"][1:]
    assert server.run(*command).stdout == "serving\n"
    if CONFINED:
        assert is_healthy(server.name)


def test_the_cache_is_the_servers_alone(tmp_path: Path) -> None:
    """On a volume that belongs to root and is writable by a group, as Kubernetes mounts it."""
    cache = volume(tmp_path / "cache")
    with Container(tmp_path, "cache", {cache: CACHE}) as container, container.connect() as c:
        c.compute(sines(1), [X])
        status = (cache / "executables").stat()
        assert (status.st_uid, status.st_mode & 0o777) == (USER, 0o700)
        assert eventually(lambda: len(list((cache / "executables").iterdir())) == 1)


def test_a_stop_under_load_loses_nothing_and_a_new_start_is_warm(tmp_path: Path) -> None:
    """What is in flight is finished by the old server, all other calls by its successor.

    The successor has the same address and cache volume, and compiles nothing.
    """
    volumes = {volume(tmp_path / "cache"): CACHE}
    old = Container(tmp_path, "old", volumes)
    new = Container(tmp_path, "new", volumes, port=old.port)
    with ExitStack() as stack:
        stack.enter_context(old)
        stack.push(new)  # not started yet; outlives the callers below
        traffic = stack.enter_context(Traffic(old.connect, COUNTS))
        with grpc.insecure_channel(old.target) as channel:  # no retries here
            slow = Stub(channel).Compute.future(inline(program(chain("sin", 1500, vector(3))), X))
            assert eventually(lambda: old.metric("gradwire_compiles_running") > 0)
            begun = time.monotonic()
            assert old.stop() == 0
            took = time.monotonic() - begun
            assert slow.result(60).replica_id == old.name
        before = len(traffic.replies)
        new.begin()
        new.wait_until_ready()
        assert set(traffic.go_on(50)) == {new.name}
        assert new.metric("gradwire_executables_compiled_total") == 0
        assert new.metric("gradwire_executables_loaded_total") == len(COUNTS)
    # Leaving the block has raised the errors of the callers.
    print(
        f"\nended {took:.1f} s after it was told to; {before} calls before, "
        f"{len(traffic.replies) - before} after, 0 lost, the slowest {traffic.slowest:.1f} s"
    )


def test_a_new_server_is_warm_from_records(tmp_path: Path) -> None:
    """With an empty cache: what another recorded is compiled before it is ready."""
    records = volume(tmp_path / "records")
    flags = ["--record-dir", "/records", "--cache-dir", "off"]
    with Container(tmp_path, "records", {records: "/records"}, *flags) as container:
        with container.connect() as connection:
            for count in COUNTS:
                connection.compute(sines(count), [X])
        assert eventually(lambda: len(list(records.glob("*.pb"))) == len(COUNTS))
        assert container.stop() == 0
    volumes = {records: "/etc/gradwire/warm:ro", volume(tmp_path / "cache"): CACHE}
    with Container(tmp_path, "warm", volumes) as container:
        assert container.metric("gradwire_executables_compiled_total") == len(COUNTS)
        with container.connect() as connection:
            for count in COUNTS:
                connection.compute(sines(count), [X])
        assert container.metric("gradwire_executables_compiled_total") == len(COUNTS)


@confined
def test_a_stop_while_it_starts_is_obeyed(tmp_path: Path) -> None:
    """As process 1, too, which gets no signal that it doesn't ask for."""
    container = Container(tmp_path, "starts", {volume(tmp_path / "cache"): CACHE})
    container.begin()
    try:
        assert container.end("TERM") == 0
    finally:
        container.__exit__(None, None, None)
    assert "listening" not in container.log
