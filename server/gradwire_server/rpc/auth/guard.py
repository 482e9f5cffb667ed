"""Who may call: the server's certificate, those of its clients, and tokens.

It must not import what is called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import grpc

from gradwire.credential_files import CredentialFileError
from gradwire_server.config.settings import Settings
from gradwire_server.rpc.auth.certificates import ServerCertificates
from gradwire_server.rpc.auth.identity import Identities
from gradwire_server.rpc.auth.renewal import Renewed
from gradwire_server.rpc.auth.tokens import TokenInterceptor, read_tokens
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.start_error import StartError

_log = logging.getLogger(__name__)


class CredentialError(StartError, ValueError):
    """A certificate, key or token can't be used; the message names the setting.

    It is a ValueError as well: after the start a renewal fails with it, and the old
    content stays in use.
    """


class Guard:
    """Decides who may call, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        """Reads the files.

        Raises:
            CredentialError: one is not valid.
        """
        self._settings = settings
        self._certificates: ServerCertificates | None = None
        self._tokens: Renewed[Mapping[bytes, str]] | None = None
        path = settings.token_file
        try:
            if settings.tls_cert:
                self._certificates = ServerCertificates(settings)
            if path:
                self._tokens = Renewed([path], lambda: read_tokens("token_file", path))
        except CredentialFileError as error:
            raise CredentialError(str(error)) from None
        if path and settings.uses_plaintext_network:
            _log.warning(
                "tokens travel unencrypted to `listen` %s, where others can read and use them; "
                "set `tls_cert` and `tls_key`",
                settings.listen,
            )

    def interceptors(self, note: Callable[[CallRecord], None]) -> list[grpc.ServerInterceptor]:
        """Returns the interceptors; ``note`` is called with the record of each refused call."""
        return [] if self._tokens is None else [TokenInterceptor(self._tokens, note)]

    def identities(self) -> Identities:
        """Returns what names callers."""
        names = self._settings.balancer_certificates.split(",")
        balancers = [name.strip() for name in names if name.strip()]
        return Identities(
            None if self._tokens is None else self._tokens.get,
            balancers,
            certificates=bool(self._settings.tls_client_ca),
        )

    def add_port(self, server: grpc.Server) -> int:
        """Binds a server to the address in the settings; returns the port.

        Raises:
            RuntimeError: the address can't be bound.
        """
        listen = self._settings.listen
        if self._certificates is None:
            return server.add_insecure_port(listen)
        return server.add_secure_port(listen, self._certificates.credentials())
