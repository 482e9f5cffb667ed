"""Certificates and tokens that are replaced while a server runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from certificates import Authority, Pair
from gradwire.v1 import service_pb2, service_pb2_grpc
from gradwire_server.app import App, build
from secured import OTHER_TOKEN, TOKEN, bearer, channel_to, write_tokens
from server_process import eventually
from serving import settings_in

FILES = ("tls.crt", "tls.key", "ca.crt")


class Secret:
    """A folder as Kubernetes mounts a secret: links to files behind one link, which is swapped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions = 0
        for name in FILES:
            (folder / name).symlink_to(Path("..data") / name)

    def swap(self, *contents: bytes) -> None:
        self._versions += 1
        version = self._folder / f"..{self._versions}"
        version.mkdir()
        for name, content in zip(FILES, contents, strict=True):
            (version / name).write_bytes(content)
            (version / name).chmod(0o600)
        fresh = self._folder / "..fresh"
        fresh.symlink_to(version.name)
        fresh.replace(self._folder / "..data")

    def issue(self, server: Authority, clients: Authority) -> None:
        """Swaps in a new certificate, and an authority for clients."""
        key, cert = server.issue("127.0.0.1").contents
        self.swap(cert, key, clients.contents)

    @property
    def settings(self) -> dict[str, Any]:
        names = ("tls_cert", "tls_key", "tls_client_ca")
        return {name: str(self._folder / file) for name, file in zip(names, FILES, strict=True)}


@pytest.fixture
def authorities(tmp_path: Path) -> tuple[Authority, Authority]:
    return Authority(tmp_path, "first"), Authority(tmp_path, "second")


@pytest.fixture
def secret(tmp_path: Path, authorities: tuple[Authority, Authority]) -> Secret:
    (tmp_path / "secret").mkdir()
    secret = Secret(tmp_path / "secret")
    secret.issue(authorities[0], authorities[0])
    return secret


@pytest.fixture
def app(tmp_path: Path, secret: Secret) -> Iterator[App]:
    with build(settings_in(tmp_path, listen="127.0.0.1:0", **secret.settings)) as app:
        yield app


def _answers(channel: grpc.Channel, metadata: Any = ()) -> bool:
    stub = service_pb2_grpc.DerivativeServiceStub(channel)
    call = stub.GetServerInfo.future(
        service_pb2.GetServerInfoRequest(), metadata=metadata, timeout=10
    )
    return bool(call.code() is grpc.StatusCode.OK)


def _reached(app: App, authority: Authority, pair: Pair) -> bool:
    with channel_to(app, authority, pair) as channel:
        return _answers(channel)


def test_a_new_certificate_is_shown_to_new_connections(
    app: App, secret: Secret, authorities: tuple[Authority, Authority]
) -> None:
    """Open connections go on; new clients of the old authority are refused."""
    old, new = authorities
    old_client, new_client = old.issue("client@x.test"), new.issue("client@x.test")
    with channel_to(app, old, old_client) as channel:
        assert _answers(channel)
        assert not _reached(app, new, new_client)
        secret.issue(new, new)
        assert eventually(lambda: _reached(app, new, new_client))
        assert not _reached(app, old, old_client)
        assert not _reached(app, new, old_client)
        assert _answers(channel)


def test_a_broken_certificate_is_warned_about(
    app: App,
    secret: Secret,
    authorities: tuple[Authority, Authority],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, and the old one stays in use until there is a good one."""
    old, new = authorities
    client = old.issue("client@x.test")
    key, cert = old.issue("127.0.0.1").contents
    other_key, _ = old.issue("127.0.0.1").contents
    broken = {
        "`tls_key` must hold the private key of the certificate": (cert, other_key, old.contents),
        "`tls_cert` must hold certificates": (b"", key, old.contents),
        "`tls_client_ca` must hold certificates": (cert, key, b"nothing"),
    }
    for text, contents in broken.items():
        caplog.clear()
        secret.swap(*contents)
        assert eventually(lambda: _reached(app, old, client) and bool(caplog.records))
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert text in record.getMessage()
        assert "stay in use" in record.getMessage()
        assert key.splitlines()[1].decode() not in caplog.text
    secret.issue(new, old)
    assert eventually(lambda: _reached(app, new, client))


def test_tokens_are_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Both are valid for a while; then the old one isn't, on open connections as well."""
    path = write_tokens(tmp_path / "tokens", TOKEN)
    values = {"listen": "127.0.0.1:0", "token_file": str(path)}

    with build(settings_in(tmp_path, **values)) as app, channel_to(app) as channel:

        def known(*tokens: str) -> bool:
            answers = {t: _answers(channel, bearer(t)) for t in (TOKEN, OTHER_TOKEN)}
            return answers == {t: t in tokens for t in answers}

        assert known(TOKEN)
        write_tokens(path, OTHER_TOKEN, TOKEN)
        assert eventually(lambda: known(TOKEN, OTHER_TOKEN))
        caplog.clear()
        write_tokens(path, "short")
        assert eventually(lambda: known(TOKEN, OTHER_TOKEN) and bool(caplog.records))
        assert "`token_file` must hold tokens of at least 16" in caplog.text
        assert "short" not in caplog.text
        caplog.clear()
        path.unlink()
        assert eventually(lambda: known(TOKEN, OTHER_TOKEN) and bool(caplog.records))
        assert "`token_file` must be a file that can be read" in caplog.text
        write_tokens(path, OTHER_TOKEN)
        assert eventually(lambda: known(OTHER_TOKEN))
