"""The server under test: its address and credentials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

import gradwire as gw
from gradwire.transport.grpc import channel_options


@dataclass(frozen=True)
class Target:
    """Where a server listens, and as whom to call it.

    Attributes:
        address: Such as ``host:8701``.
        tls_ca: The file of the authority that its certificate must be from.
        tls_cert: The file of the caller's own certificate, for mutual TLS.
        tls_key: The file of its key.
        token_file: The file of the caller's token.
    """

    address: str
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    token_file: str | None = None

    def connect(self, **options: Any) -> gw.Connection:
        """Returns a connection of the client's."""
        if self.tls_ca is not None:
            options["tls"] = gw.TLS(ca=self.tls_ca, cert=self.tls_cert, key=self.tls_key)
        if self.token_file is not None:
            options["token"] = Path(self.token_file)
        return gw.connect(self.address, **options)

    def channel(self) -> grpc.Channel:
        """Returns a bare channel with the options of the client's."""
        options = channel_options(self.address)
        if self.tls_ca is None:
            return grpc.insecure_channel(self.address, options)
        credentials = grpc.ssl_channel_credentials(
            Path(self.tls_ca).read_bytes(),
            Path(self.tls_key).read_bytes() if self.tls_key else None,
            Path(self.tls_cert).read_bytes() if self.tls_cert else None,
        )
        return grpc.secure_channel(self.address, credentials, options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns the metadata that authenticates each call."""
        if self.token_file is None:
            return ()
        token = Path(self.token_file).read_text(encoding="ascii").strip()
        return (("authorization", f"Bearer {token}"),)
