"""The command as a process: its flags, its first line, its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import gradwire as gw
from certificates import Authority
from gradwire.ir import encode_program
from gradwire.v1 import service_pb2 as pb
from programs import SIN, X, function, node, program, sines_of, unary, vector
from secured import write_tokens
from server_process import COMMAND, eventually, is_alive, started, wait_until_ready
from serving import Stub, inline, outputs, prepare_request


@contextmanager
def _stub(address: str) -> Iterator[Stub]:
    with grpc.insecure_channel(address) as channel:
        yield Stub(channel)


SLOW = unary("sin", 6000)
OPTIMISED = {"XLA_FLAGS": ""}
"""A server takes twenty seconds to compile that program so, also if the tests are in haste."""


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    """Of a server on a Unix socket."""
    return ["--listen", f"unix:{tmp_path}/s", "--cache-dir", str(tmp_path / "cache")]


def _shows(ready: dict[str, Any], line: str) -> bool:
    """Says whether a line is on the page of metrics."""
    with urllib.request.urlopen(f"{ready['metrics']}/metrics", timeout=10) as page:
        return f"\n{line}\n".encode() in page.read()


def _is_called(ready: dict[str, Any]) -> bool:
    return _shows(ready, "gradwire_calls_in_flight 1.0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(flags: list[str], number: int) -> None:
    """A call in flight is answered, the exit code is 0, and the log says who called."""
    slow = unary("sin", 1500)
    with started(*flags, "--metrics", "127.0.0.1:0", "--log-format", "json") as process:
        ready = wait_until_ready(process)
        assert ready["listening"] == flags[1]
        with urllib.request.urlopen(f"{ready['metrics']}/readyz", timeout=10) as page:
            assert page.status == 200
        with _stub(ready["listening"]) as stub:
            request = inline(slow, X)
            request.context.call_id = "slow-call"
            call = stub.Compute.future(request)
            assert eventually(lambda: _is_called(ready))
            assert not call.done()
            process.send_signal(number)
            np.testing.assert_allclose(outputs(call.result(60))[0], sines_of(X, 1500), rtol=1e-9)
        output, log = process.communicate(timeout=30)
        assert process.returncode == 0, log
        assert output == ""
    calls = [line for line in map(json.loads, log.splitlines()) if line.get("method")]
    assert [(call["call_id"], call["status"]) for call in calls] == [("slow-call", "OK")]
    assert calls[0]["compile_ms"] > 100


def test_a_second_signal_is_obeyed_at_once(flags: list[str]) -> None:
    """Whoever sends it doesn't want to wait for the grace."""
    with started(*flags, "--metrics", "127.0.0.1:0", **OPTIMISED) as process:
        ready = wait_until_ready(process)
        with _stub(ready["listening"]) as stub:
            call = stub.Prepare.future(prepare_request(SLOW))
            assert eventually(lambda: _is_called(ready))
            process.send_signal(signal.SIGTERM)
            assert eventually(lambda: _shows(ready, "gradwire_draining 1.0"))
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            # No default action, which the first process of a container never gets.
            assert process.wait(10) == 128 + signal.SIGTERM
            with pytest.raises(grpc.RpcError):
                call.result(10)


def test_a_compile_does_not_hold_the_end(flags: list[str]) -> None:
    """When the grace is over, the process ends, although a compile can't be interrupted."""
    flags += ["--metrics", "127.0.0.1:0", "--grace", "0.3"]
    with started(*flags, **OPTIMISED) as process:
        ready = wait_until_ready(process)
        with _stub(ready["listening"]) as stub:
            call = stub.Prepare.future(prepare_request(SLOW))
            assert eventually(lambda: _is_called(ready))
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert time.monotonic() - start < 10
            with pytest.raises(grpc.RpcError):
                call.result(10)


def test_an_embedded_server_ends_with_its_stdin(flags: list[str]) -> None:
    """What is written there means nothing; it has no metrics and no log of calls."""
    with started(*flags, "--embedded") as process:
        assert wait_until_ready(process) == {"listening": flags[1], "metrics": None}
        assert process.stdin is not None
        process.stdin.write("x\n" * 10)
        process.stdin.flush()
        with _stub(flags[1]) as stub:
            stub.Compute(inline(SIN, X))
        assert process.poll() is None
        _, log = process.communicate(timeout=30)
        assert process.returncode == 0
        assert log == ""


ORPHANS = """
import os, subprocess, sys, time
stdin, keep = os.pipe()
os.set_inheritable(keep, True)
process = subprocess.Popen(sys.argv[1:], stdin=stdin, stdout=subprocess.PIPE, text=True)
print(process.stdout.readline(), process.pid, flush=True)
if os.fork() == 0:  # keeps stdin open after the parent's death
    os.closerange(0, 3)
    time.sleep(60)
os.kill(os.getpid(), 9)
"""


def test_an_embedded_server_ends_with_its_parent(flags: list[str]) -> None:
    """Also if a forked worker keeps its stdin open, and the parent is killed."""
    script = subprocess.run(
        [sys.executable, "-c", ORPHANS, *COMMAND, *flags, "--embedded"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert script.returncode == -signal.SIGKILL
    first, second = script.stdout.split("\n", 1)
    assert json.loads(first)["listening"] == flags[1]
    pid = int(second)
    assert eventually(lambda: not is_alive(pid))


@pytest.mark.parametrize(
    ("folder", "other", "left"),
    [("gradwire-x", False, False), ("gradwire-x", True, True), ("mine", False, True)],
)
def test_an_embedded_server_leaves_no_folder(
    tmp_path: Path, folder: str, other: bool, left: bool
) -> None:
    """That of its socket goes with it, unless it isn't the client's or holds something else."""
    path = tmp_path / folder
    path.mkdir()
    if other:
        (path / "other").touch()
    flags = ["--listen", f"unix:{path}/s", "--cache-dir", "off"]
    with started(*flags, "--embedded") as process:
        wait_until_ready(process)
        process.communicate(timeout=30)
    assert path.exists() is left
    assert not (path / "s").exists()


def test_a_server_that_starts_again_finds_its_executables(flags: list[str]) -> None:
    """With linear algebra in them, which needs a set-up before it is loaded."""
    body = function(
        [vector(3, 3)],
        node("linalg.cholesky", [0], 1),
        node("linalg.eigvalsh", [0], 2),
        results=[1, 2],
    )
    matrix = np.diag([1.0, 2.0, 3.0]) + 0.25
    replies = []
    for cached in (False, True):
        with (
            started(*flags, "--embedded") as process,
            _stub(wait_until_ready(process)["listening"]) as stub,
        ):
            assert stub.Prepare(prepare_request(program(body))).plan.cached is cached
            replies.append(outputs(stub.Compute(inline(program(body), matrix))))
            process.communicate(timeout=30)
    np.testing.assert_allclose(replies[0][0], np.linalg.cholesky(matrix), rtol=1e-12)
    for first, second in zip(*replies, strict=True):
        assert first.tobytes() == second.tobytes()


def test_only_its_user_reaches_a_socket(flags: list[str], tmp_path: Path) -> None:
    """Whatever the umask that it was started with."""
    with started(*flags, "--embedded", umask=0) as process:
        wait_until_ready(process)
        assert (tmp_path / "s").stat().st_mode & 0o077 == 0
        assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--listen", "0.0.0.0:0"], 2, "`listen` must be a loopback address"),
        (["--tls-cert", "/none"], 2, "`tls_cert` must come with `tls_key`"),
        (["--token-file", "/none", "--cache-dir", "off"], 1, "`token_file` must be a file that"),
        (["--max-plans", "0"], 2, "`max_plans` must be at least 1; got 0"),
        (["--no-such-flag"], 2, "--no-such-flag"),
        (["--cache-dir", "/dev/null"], 1, "`cache_dir`"),
        (["--listen", "unix:/no/such/directory/s", "--cache-dir", "off"], 1, "/no/such/directory"),
    ],
)
def test_a_server_that_can_not_start_says_why(arguments: list[str], code: int, text: str) -> None:
    """In one line at the end, without a traceback, and with a code of its own."""
    with started("--metrics", "off", *arguments) as process:
        output, log = process.communicate(timeout=60)
    assert process.returncode == code
    assert output == ""
    assert "Traceback" not in log
    assert text in log.splitlines()[-1]


def test_a_server_without_a_device_says_so() -> None:
    """As where the environment asks JAX for a GPU that isn't there."""
    flags = ("--metrics", "off", "--cache-dir", "off")
    with started(*flags, JAX_PLATFORMS="cuda") as process:
        _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "JAX must find a device; got none, with JAX_PLATFORMS='cuda'" in log.splitlines()[-1]


def test_flags_and_variables_name_certificates_and_tokens(flags: list[str], tmp_path: Path) -> None:
    """Calls in flight are still answered when it is ended, encrypted as they are."""
    authority, token = Authority(tmp_path, "authority"), "a-token-of-32-characters-or-less"
    pair, client = authority.issue("127.0.0.1"), authority.issue("client@gradwire.test")
    tls = gw.TLS(ca=authority.ca, cert=client.cert, key=client.key)
    variable = {"GRADWIRE_SERVER_TOKEN_FILE": str(write_tokens(tmp_path / "tokens", token))}
    flags[1] = "127.0.0.1:0"
    flags += ["--tls-cert", pair.cert, "--tls-key", pair.key, "--tls-client-ca", authority.ca]
    with started(*flags, "--metrics", "127.0.0.1:0", **variable) as process:
        ready = wait_until_ready(process)
        address = ready["listening"]
        with pytest.raises(gw.AuthenticationError):
            gw.connect(address, tls=tls)
        slow = encode_program(unary("sin", 1500))
        with (
            gw.connect(address, tls=tls, token=token) as connection,
            futures.ThreadPoolExecutor(1) as pool,
        ):
            plan = pool.submit(connection.prepare, slow)
            assert eventually(lambda: _is_called(ready))
            process.send_signal(signal.SIGTERM)
            assert plan.result(60).id
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert 'status="UNAUTHENTICATED"' in log
    assert token not in log


@pytest.mark.parametrize("missing", ["jax", "grpc_health", "prometheus_client"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    """The thin client has the command, too."""
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from gradwire_server.__main__ import main; sys.exit(main(['--embedded']))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1] == (
        f"gradwire-server: {missing} is not installed. Run: pip install 'gradwire[server]'"
    )
    assert "Traceback" not in process.stderr


def test_limits_are_set_by_flags(flags: list[str]) -> None:
    """And reported to clients under the same names."""
    flags += ["--embedded", "--max-nodes", "7", "--replica-id", "me"]
    with started(*flags) as process, _stub(wait_until_ready(process)["listening"]) as stub:
        info = stub.GetServerInfo(pb.GetServerInfoRequest())
    assert info.replica_id == "me"
    assert {limit.name: limit.value for limit in info.limits}["max_nodes"] == 7
