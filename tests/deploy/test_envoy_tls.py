"""Envoy with TLS on both sides."""

from __future__ import annotations

import os
import tempfile
from concurrent import futures
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from deploy.gateway import Gateway, free_port, on_loopback, secured
from deploy.names import Names
from deploy.scripted_fleet import HOSTS, call_on, call_once, scripted
from gradwire.transport.grpc import channel_options
from server_process import eventually

pytestmark = pytest.mark.deploy


def _pair(authority: trustme.CA, name: str, days: float = 365) -> tuple[bytes, bytes]:
    """A key and its certificate."""
    end = datetime.now(UTC) + timedelta(days)
    issued = authority.issue_cert(name, not_after=end)
    return issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()


def _mount(folder: Path, **files: bytes) -> Path:
    """Puts files into a folder at once, as kubelet does: behind links to `..data/`, a link too."""
    folder.mkdir(exist_ok=True)
    version = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    for name, content in files.items():
        (version / name).write_bytes(content)
    (folder / "..data_tmp").symlink_to(version.name)
    os.replace(folder / "..data_tmp", folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    return folder


def _files(authority: trustme.CA, days: float = 365) -> dict[str, bytes]:
    """Envoy's own certificate, and the authority of all others."""
    key, certificate = _pair(authority, "localhost", days)
    return {"tls.key": key, "tls.crt": certificate, "ca.crt": authority.cert_pem.bytes()}


def _config(folder: Path, authority: trustme.CA, days: float = 365) -> Any:
    """Envoy's configuration, with certificates of an authority under `tls` in the folder."""
    return secured(folder, _mount(folder / "tls", **_files(authority, days)))


def _serving(authority: trustme.CA, name: str = "gradwire") -> grpc.ServerCredentials:
    """What a server shows, and asks for."""
    return grpc.ssl_server_credentials(
        [_pair(authority, name)], authority.cert_pem.bytes(), require_client_auth=True
    )


def _call(gateway: Gateway, authority: trustme.CA, *own: bytes) -> grpc.StatusCode:
    """One attempt of a caller who trusts an authority, with a key and a certificate if given."""
    target = gateway.target.replace("127.0.0.1", "localhost")
    trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), *own)
    with grpc.secure_channel(target, trusted, channel_options(target)) as channel:
        return call_on(channel)


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
    ca, stranger = trustme.CA(), trustme.CA()
    own = {"known": _pair(ca, "me"), "unknown": _pair(stranger, "me"), "none": ()}[caller]
    with scripted(tmp_path, _config(tmp_path, ca), _serving(ca, server)) as (behind, gateway, _):
        code = _call(gateway, ca, *own)
        assert code is (grpc.StatusCode.OK if answered else grpc.StatusCode.UNAVAILABLE)
        assert len(behind.asked) == answered


def test_renewed_files_are_taken(tmp_path: Path) -> None:
    """Certificate, key and authority, towards callers and servers, while Envoy runs."""
    old, new = trustme.CA(), trustme.CA()
    with scripted(tmp_path, _config(tmp_path, old), _serving(new)) as (behind, gateway, _):
        assert _call(gateway, new, *_pair(new, "me")) is grpc.StatusCode.UNAVAILABLE
        _mount(tmp_path / "tls", **_files(new))
        assert eventually(lambda: _call(gateway, new, *_pair(new, "me")) is grpc.StatusCode.OK, 30)
        assert _call(gateway, new, *_pair(old, "me")) is grpc.StatusCode.UNAVAILABLE
        assert len(behind.asked) == 1


def test_files_that_do_not_fit_are_not_taken(tmp_path: Path) -> None:
    """With the key of another certificate the old files stay in use, and it is counted."""
    ca = trustme.CA()
    with scripted(tmp_path, _config(tmp_path, ca), _serving(ca)) as (_, gateway, _):
        assert gateway.count("sds.certificate.key_rotation_failed") == 0
        _mount(tmp_path / "tls", **_files(ca) | {"tls.key": _pair(ca, "another")[0]})
        assert eventually(lambda: gateway.count("sds.certificate.key_rotation_failed") > 0, 30)
        assert _call(gateway, ca, *_pair(ca, "me")) is grpc.StatusCode.OK


def test_it_counts_the_days_that_certificates_are_left(tmp_path: Path) -> None:
    """Of the one that expires first, and of the renewed one from then on: an alert asks for it."""
    ca = trustme.CA()
    config = _config(tmp_path, ca, days=5.5)
    with scripted(tmp_path, config, _serving(ca)) as (_, gateway, _):
        left = "server.days_until_first_cert_expiring"
        assert eventually(lambda: gateway.count(left) == 5, 30)
        _mount(tmp_path / "tls", **_files(ca, days=40.5))
        assert eventually(lambda: gateway.count(left) == 40, 30)


def test_health_is_asked_for_over_tls(tmp_path: Path) -> None:
    """Under the same certificates: a healthy server gets calls."""
    ca = trustme.CA()
    port = free_port(HOSTS[0])
    server = grpc.server(futures.ThreadPoolExecutor(4))
    servicer = health.HealthServicer()
    name = "gradwire.v1.DerivativeService"
    servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_secure_port(f"{HOSTS[0]}:{port}", _serving(ca))
    server.start()
    try:
        with Names() as names:
            names.addresses["gradwire-0.gradwire"] = HOSTS[0]
            config = on_loopback(_config(tmp_path, ca), names.port, port)
            with Gateway(tmp_path, config) as gateway:
                assert eventually(lambda: gateway.well() == {"gradwire-0.gradwire"}, 30)
                servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
                assert eventually(lambda: gateway.well() == set())
    finally:
        server.stop(None).wait()


def test_tls_is_not_left_out(tmp_path: Path) -> None:
    """An unencrypted caller gets no answer."""
    with scripted(tmp_path, _config(tmp_path, trustme.CA())) as (behind, gateway, _):
        assert call_once(gateway.target) is grpc.StatusCode.UNAVAILABLE
        assert behind.asked == []
