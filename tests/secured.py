"""Servers with certificates and tokens, and bare channels to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from certificates import Authority, Pair
from gradwire_server.app import App, build
from serving import settings_in

TOKEN, OTHER_TOKEN = "the-token-of-this-server", "another-token-that-is-valid"

SERVERS: dict[str, set[str]] = {
    "plain": set(),
    "plain+token": {"token"},
    "tls": {"tls"},
    "tls+token": {"tls", "token"},
    "mtls": {"tls", "mtls"},
    "mtls+token": {"tls", "mtls", "token"},
}
"""What each server asks for."""

_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


@dataclass(frozen=True)
class SecuredServers:
    """One of each server, on loopback, and what their callers may have.

    Attributes:
        ours: The authority that servers and clients are known by.
        theirs: Another one.
        client: A certificate that a client may have.
        folder: Where files may be put.
        token_file: The file that the servers read.
        apps: The servers, by the names of ``SERVERS``.
    """

    ours: Authority
    theirs: Authority
    client: Pair
    folder: Path
    token_file: Path
    apps: dict[str, App]


@contextmanager
def open_secured_servers(folder: Path) -> Iterator[SecuredServers]:
    """Starts the servers."""
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    token_file = write_tokens(folder / "tokens", TOKEN, "", OTHER_TOKEN)
    server = ours.issue("127.0.0.1", "gradwire.test")
    with ExitStack() as stack:
        apps = {}
        for name, features in SERVERS.items():
            values: dict[str, Any] = {"listen": "127.0.0.1:0"}
            if "tls" in features:
                values |= {"tls_cert": server.cert, "tls_key": server.key}
            if "mtls" in features:
                values["tls_client_ca"] = ours.ca
            if "token" in features:
                values["token_file"] = str(token_file)
            apps[name] = stack.enter_context(build(settings_in(folder, **values)))
        client = ours.issue("client@gradwire.test")
        yield SecuredServers(ours, theirs, client, folder, token_file, apps)


def write_tokens(path: Path, *tokens: str) -> Path:
    """Replaces a file of tokens, readable by its user alone."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(0o600)
    fresh.write_text("\n".join(tokens))
    return fresh.replace(path)


def channel_to(
    app: App, authority: Authority | None = None, pair: Pair | None = None, name: str = ""
) -> grpc.Channel:
    """A channel of its own; encrypted if there is an authority to trust."""
    options: list[tuple[str, Any]] = list(_OPTIONS)
    if authority is None:
        return grpc.insecure_channel(app.address, options)
    if name:
        options.append(("grpc.ssl_target_name_override", name))
    key, cert = pair.contents if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.contents, key, cert)
    return grpc.secure_channel(app.address, credentials, options)


def bearer(token: str) -> list[tuple[str, str]]:
    """The metadata that presents a token."""
    return [("authorization", f"Bearer {token}")]
