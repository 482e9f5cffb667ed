"""How callers are named: by token, certificate, a secret of their own, or address."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import gradwire as gw
from gradwire.v1 import service_pb2 as pb
from gradwire_server.app import App, build
from gradwire_server.observability.logs import FIELDS
from gradwire_server.serving.call_record import CallRecord
from secured import TOKEN, SecuredServers, bearer, channel_to, open_secured_servers, write_tokens
from server_process import eventually, run_script
from serving import Stub, serving, settings_in

Call = Callable[[App, grpc.Channel, Sequence[tuple[str, str]]], str]
SECRET = [("gradwire-caller", "a secret of the client's own")]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredServers]:
    """Servers that ask for tokens and certificates."""
    with open_secured_servers(tmp_path_factory.mktemp("secured")) as opened:
        yield opened


def _lines_of(log: pytest.LogCaptureFixture, call_id: str) -> list[dict[str, Any]]:
    lines = [getattr(record, FIELDS) for record in log.records if hasattr(record, FIELDS)]
    return [line for line in lines if line.get("call_id") == call_id]


@pytest.fixture
def caller_of(caplog: pytest.LogCaptureFixture) -> Call:
    """Makes a call; returns the name of its caller in the log."""
    caplog.set_level(logging.INFO, "gradwire_server.access")

    def call(app: App, channel: grpc.Channel, metadata: Sequence[tuple[str, str]]) -> str:
        name = uuid.uuid4().hex  # other servers of this process write to the same log
        request = pb.ComputeRequest(context=pb.CallContext(call_id=name), plan_id="none")
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            Stub(channel).Compute(request, metadata=metadata, timeout=30)
        assert eventually(lambda: bool(_lines_of(caplog, name)))
        (line,) = _lines_of(caplog, name)
        return str(line["caller"])

    return call


def test_the_name_of_a_token_comes_first(tmp_path: Path, caller_of: Call) -> None:
    """Two tokens of one name are one caller; the log never holds a token."""
    path = write_tokens(tmp_path / "tokens", f"alice:{TOKEN}", f"alice:{TOKEN}-new", "x" * 20)
    with serving(tmp_path, token_file=str(path)) as (app, _), channel_to(app) as channel:
        names = [
            caller_of(app, channel, [*bearer(token), *SECRET])
            for token in (TOKEN, f"{TOKEN}-new", "x" * 20)
        ]
    assert names[:2] == ["token:alice"] * 2
    assert names[2].startswith("token:")
    assert "x" * 20 not in names[2]


def test_a_certificate_names_its_caller(secured: SecuredServers, caller_of: Call) -> None:
    """Where clients have one, and unless it is a balancer's, which calls for others."""
    with channel_to(secured.apps["mtls"], secured.ours, secured.client) as channel:
        name = caller_of(secured.apps["mtls"], channel, SECRET)
    assert name == "certificate:client@gradwire.test"
    server = secured.ours.issue("127.0.0.1", "gradwire.test")
    settings = settings_in(
        secured.folder,
        listen="127.0.0.1:0",
        tls_cert=server.cert,
        tls_key=server.key,
        tls_client_ca=secured.ours.ca,
        balancer_certificates="another, client@gradwire.test",
    )
    with build(settings) as app, channel_to(app, secured.ours, secured.client) as channel:
        assert caller_of(app, channel, SECRET).startswith("client:")


def test_a_secret_tells_clients_apart(secured: SecuredServers, caller_of: Call) -> None:
    """The log holds its hash; without one the address is the name."""
    app = secured.apps["plain"]
    with channel_to(app) as channel:
        first, again = (caller_of(app, channel, SECRET) for _ in range(2))
        other = caller_of(app, channel, [("gradwire-caller", "another")])
        address = caller_of(app, channel, [])
    assert first == again != other
    assert first.startswith("client:")
    assert "secret" not in first
    assert address == "peer:ipv4:127.0.0.1"


def test_our_client_is_one_caller(tmp_path: Path) -> None:
    """On all its connections; a forked child is the same, another process is another."""
    calls: list[CallRecord] = []
    with serving(tmp_path) as (app, _):
        app._recorder.add_observers(calls.extend)
        for _ in range(2):
            with gw.connect(app.address):
                gw.remote(np.sin)(np.ones(3))
        assert eventually(lambda: len(calls) >= 4)
    assert len({call.caller for call in calls}) == 1
    script = """
import os, sys
from gradwire.transport.caller import CALLER_METADATA
print(CALLER_METADATA[1], flush=True)
if os.fork() == 0:
    print(CALLER_METADATA[1], flush=True)
    os._exit(0)
os.wait()
"""
    first, child = run_script(script)
    assert first == child
    assert run_script(script)[0] != first
