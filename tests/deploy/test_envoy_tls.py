"""Envoy with TLS on both sides."""

from __future__ import annotations

from concurrent import futures
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from deploy.gateway import SECURED, Gateway, deployed, free_port, on_loopback
from deploy.names import Names
from deploy.scripted_fleet import HOSTS, call_on, call_once, scripted
from gradwire.channel import channel_options
from server_process import eventually


def _pair(authority: trustme.CA, name: str) -> tuple[bytes, bytes]:
    """A key and its certificate."""
    issued = authority.issue_cert(name)
    return issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()


def _authority_in(folder: Path) -> trustme.CA:
    """A CA, whose certificate and Envoy's own are in the folder."""
    ca = trustme.CA()
    for name, content in zip(("tls.key", "tls.crt"), _pair(ca, "localhost"), strict=True):
        (folder / name).write_bytes(content)
    ca.cert_pem.write_to_path(folder / "ca.crt")
    return ca


@pytest.mark.parametrize(
    ("server", "caller", "answered"),
    [
        ("gradwire", "known", True),
        ("gradwire", "unknown", False),
        ("gradwire", "none", False),
        ("another", "known", False),
    ],
)
def test_tls_on_both_sides(tmp_path: Path, server: str, caller: str, answered: bool) -> None:
    """Callers, Envoy and the server need certificates of one CA, the server in its name."""
    ca, stranger = _authority_in(tmp_path), trustme.CA()
    credentials = grpc.ssl_server_credentials(
        [_pair(ca, server)], ca.cert_pem.bytes(), require_client_auth=True
    )
    own = {"known": _pair(ca, "me"), "unknown": _pair(stranger, "me"), "none": ()}[caller]
    config = deployed(SECURED, str(tmp_path))
    with scripted(tmp_path, config, credentials) as (behind, gateway, _):
        target = gateway.target.replace("127.0.0.1", "localhost")
        trusted = grpc.ssl_channel_credentials(ca.cert_pem.bytes(), *own)
        with grpc.secure_channel(target, trusted, channel_options(target)) as channel:
            code = call_on(channel)
        assert code is (grpc.StatusCode.OK if answered else grpc.StatusCode.UNAVAILABLE)
        assert len(behind.asked) == answered


def test_health_is_asked_for_over_tls(tmp_path: Path) -> None:
    """Under the same certificates: a server that is well gets calls."""
    ca = _authority_in(tmp_path)
    port = free_port(HOSTS[0])
    credentials = grpc.ssl_server_credentials(
        [_pair(ca, "gradwire")], ca.cert_pem.bytes(), require_client_auth=True
    )
    server = grpc.server(futures.ThreadPoolExecutor(4))
    servicer = health.HealthServicer()
    name = "gradwire.v1.DerivativeService"
    servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_secure_port(f"{HOSTS[0]}:{port}", credentials)
    server.start()
    try:
        with Names() as names:
            names.addresses["gradwire-0.gradwire"] = HOSTS[0]
            config = on_loopback(deployed(SECURED, str(tmp_path)), names.port, port)
            with Gateway(tmp_path, config) as gateway:
                assert eventually(lambda: gateway.well() == {"gradwire-0.gradwire"}, 30)
                servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
                assert eventually(lambda: gateway.well() == set())
    finally:
        server.stop(None).wait()


def test_tls_is_not_left_out(tmp_path: Path) -> None:
    """A caller in the open gets no answer."""
    _authority_in(tmp_path)
    with scripted(tmp_path, deployed(SECURED, str(tmp_path))) as (behind, gateway, _):
        assert call_once(gateway.target) is grpc.StatusCode.UNAVAILABLE
        assert behind.asked == []
