"""Who may call what: every method, with every kind of token, over every kind of connection."""

from __future__ import annotations

import itertools
import json
import logging
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from gradwire.v1 import error_pb2
from gradwire.v1 import service_pb2 as pb
from programs import SIN, X
from secured import (
    OTHER_TOKEN,
    SERVERS,
    TOKEN,
    SecuredServers,
    bearer,
    channel_to,
    open_secured_servers,
)
from serving import detail_of, inline, prepare_request, refused, serving

SERVICE = "gradwire.v1.DerivativeService"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health/Check"
HEALTH_REQUEST = health_pb2.HealthCheckRequest().SerializeToString()
REQUESTS = {
    f"/{SERVICE}/Prepare": prepare_request(SIN).SerializeToString(),
    f"/{SERVICE}/Compute": inline(SIN, X).SerializeToString(),
    f"/{SERVICE}/GetServerInfo": pb.GetServerInfoRequest().SerializeToString(),
    f"/{REFLECTION}": reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString(),
}
UNKNOWN = dict.fromkeys((f"/{SERVICE}/NoSuchMethod", "/another.Service/Method"), b"")

RIGHT = {
    "first": bearer(TOKEN),
    "second": bearer(OTHER_TOKEN),
    "small letters": [("authorization", f"bearer {TOKEN}")],
}
WRONG = {
    "none": [],
    "wrong": bearer(TOKEN[:-1] + "x"),
    "a part": bearer(TOKEN[:-1]),
    "longer": bearer(TOKEN + "x"),
    "several": bearer(f"{TOKEN} {OTHER_TOKEN}"),
    "empty": bearer(""),
    "another scheme": [("authorization", f"Basic {TOKEN}")],
    "no scheme": [("authorization", TOKEN)],
    "in second place": [*bearer("wrong"), *bearer(TOKEN)],
    "under another name": [("gradwire-route", TOKEN)],
}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredServers]:
    with open_secured_servers(tmp_path_factory.mktemp("secured")) as secured:
        yield secured


CHANNELS = {
    "plaintext": lambda h, app: channel_to(app),
    "right authority": lambda h, app: channel_to(app, h.ours),
    "wrong authority": lambda h, app: channel_to(app, h.theirs),
    "wrong name": lambda h, app: channel_to(app, h.ours, name="elsewhere.test"),
    "another right name": lambda h, app: channel_to(app, h.ours, name="gradwire.test"),
    "certificate": lambda h, app: channel_to(app, h.ours, h.client),
    "wrong certificate": lambda h, app: channel_to(
        app, h.ours, h.theirs.issue("client@gradwire.test")
    ),
    "expired certificate": lambda h, app: channel_to(
        app, h.ours, h.ours.issue("client@gradwire.test", expired=True)
    ),
}


def _is_connected(features: set[str], channel: str) -> bool:
    if "tls" not in features:
        return channel == "plaintext"
    if "mtls" in features:
        return channel == "certificate"
    # A server that doesn't ask for a certificate doesn't check one either.
    return channel not in {"plaintext", "wrong authority", "wrong name"}


def _outcome(channel: grpc.Channel, path: str, request: bytes, metadata: Any = ()) -> str:
    """Calls once; returns the status, and checks the details of a refusal."""
    call = channel.unary_unary(path).future(request, metadata=metadata, timeout=30)
    code = call.code()
    if code is grpc.StatusCode.UNAUTHENTICATED:
        detail = detail_of(call)
        assert detail.reason == error_pb2.ERROR_REASON_UNAUTHENTICATED
        assert (detail.field, detail.retryable) == ("authorization", False)
        assert TOKEN[:-1] not in call.details()
    return str(code.name)


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("name", SERVERS)
def test_who_may_call_what(secured: SecuredServers, name: str, kind: str) -> None:
    """All must connect as the server requires; all but health need a token, if it has any."""
    features, app = SERVERS[name], secured.apps[name]
    connected = _is_connected(features, kind)
    with CHANNELS[kind](secured, app) as channel:
        health = _outcome(channel, HEALTH, HEALTH_REQUEST)
        assert health == ("OK" if connected else "UNAVAILABLE")
        cases = itertools.product({**REQUESTS, **UNKNOWN}.items(), {**RIGHT, **WRONG}.items())
        for (path, request), (token, metadata) in cases:
            expected = "UNIMPLEMENTED" if path in UNKNOWN else "OK"
            if "token" in features and token in WRONG:
                expected = "UNAUTHENTICATED"
            if not connected:
                expected = "UNAVAILABLE"
            assert _outcome(channel, path, request, metadata) == expected, (path, token)


@pytest.mark.parametrize("name", ["plain+token", "tls+token"])
def test_the_message_says_what_was_wrong(secured: SecuredServers, name: str) -> None:
    """The rule and the kind of what was received, without the token."""
    cases = {
        "none": "got no token",
        "wrong": "got a token that isn't known",
        "another scheme": "got another scheme than Bearer",
    }
    app = secured.apps[name]
    with channel_to(app, secured.ours if name.startswith("tls") else None) as channel:
        for token, text in cases.items():
            with refused("UNAUTHENTICATED", "UNAUTHENTICATED") as caught:
                channel.unary_unary(f"/{SERVICE}/Compute")(b"", metadata=WRONG[token], timeout=10)
            assert "`authorization` must be `Bearer` and a token" in caught.value.details()
            assert text in caught.value.details()


def test_a_refused_request_is_not_read(secured: SecuredServers) -> None:
    """Neither one that doesn't parse nor one that is larger than any may be."""
    with channel_to(secured.apps["plain+token"]) as channel:
        call = channel.unary_unary(f"/{SERVICE}/Compute")
        for size in (1, 2**20, 80 * 2**20):
            for _ in range(5):
                with refused("UNAUTHENTICATED"):
                    call(b"\xff" * size, timeout=30)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\xff" * (80 * 2**20), metadata=bearer(TOKEN), timeout=30)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_refusals_are_counted_and_logged(
    secured: SecuredServers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Under the names of our methods only, whatever the caller names; without the token.

    Of many in one second a single line is written, with the address of the caller.
    """
    caplog.set_level(logging.INFO)
    values = {"token_file": str(secured.token_file), "metrics": "127.0.0.1:0"}
    with serving(tmp_path, **values) as (app, _), channel_to(app) as channel:
        for path in (f"/{SERVICE}/Compute", "/a.Service/Chosen", "/Chosen"):
            assert _outcome(channel, path, b"", bearer("x" * 20)) == "UNAUTHENTICATED"
        with urllib.request.urlopen(f"{app.metrics_url}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
    counted = {line for line in lines if line.startswith("gradwire_calls_total{")}
    assert counted == {
        'gradwire_calls_total{method="Compute",operator="",status="UNAUTHENTICATED"} 1.0',
        'gradwire_calls_total{method="other",operator="",status="UNAUTHENTICATED"} 2.0',
    }
    logged = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert len(logged) < 3
    assert (logged[0]["method"], logged[0]["reason"]) == ("Compute", "UNAUTHENTICATED")
    assert logged[0]["peer"].startswith("unix:")
    assert "x" * 20 not in json.dumps(logged) + caplog.text
