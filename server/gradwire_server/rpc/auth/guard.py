"""Who may call: the server's certificate, those of its clients, and tokens.

Knows gRPC, and nothing of what is called.
"""

from __future__ import annotations

import hmac
import logging
import math
import os
import ssl
import stat
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

import grpc

from gradwire.errors import AuthenticationError, Reason
from gradwire.v1 import service_pb2
from gradwire_server.config.settings import Settings
from gradwire_server.rpc.admission.refusals import refusing_handler
from gradwire_server.rpc.auth.renewal import Renewed
from gradwire_server.rpc.status import describe, to_grpc
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.start_error import StartError

MIN_TOKEN_CHARS = 16
MAX_TOKENS = 64
"""Each call is compared with all of them."""
MAX_FILE_BYTES = 2**20

_LOG_PERIOD_SECONDS = 1.0

_EXEMPT = "/grpc.health.v1.Health/"
"""Balancers and probes can't present a token."""

_METHODS = frozenset(
    method.name for method in service_pb2.DESCRIPTOR.services_by_name["DerivativeService"].methods
)

_log = logging.getLogger(__name__)

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class CredentialError(StartError, ValueError):
    """A certificate, key or token can't be used; the message names the setting.

    A ValueError, too: after the start it is what a renewal fails with, and the old files
    stay in force.
    """


class Guard:
    """Lets in those who may call, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        """Reads the files.

        Raises:
            CredentialError: one is not as it must be.
        """
        self._settings = settings
        self._certificates: Renewed[grpc.ServerCertificateConfiguration] | None = None
        self._tokens: Renewed[tuple[bytes, ...]] | None = None
        if settings.tls_cert:
            files = [settings.tls_cert, settings.tls_key, settings.tls_client_ca]
            self._certificates = Renewed([path for path in files if path], self._read_certificates)
        if settings.token_file:
            self._tokens = Renewed(
                [settings.token_file], lambda: read_tokens("token_file", settings.token_file)
            )
            if settings.listens_in_the_open:
                _log.warning(
                    "tokens travel in the open to `listen` %s, where others can read and use "
                    "them; set `tls_cert` and `tls_key`",
                    settings.listen,
                )

    def interceptors(self, note: Callable[[CallRecord], None]) -> list[grpc.ServerInterceptor]:
        """Returns what looks at each call before its handler; ``note`` hears of refusals."""
        return [] if self._tokens is None else [_TokenInterceptor(self._tokens, note)]

    def add_port(self, server: grpc.Server) -> int:
        """Has a server listen where the settings say; returns the port.

        Raises:
            RuntimeError: the address can't be bound.
        """
        listen = self._settings.listen
        certificates = self._certificates
        if certificates is None:
            return server.add_insecure_port(listen)
        # gRPC asks at each new connection. Those that there are keep what they have.
        credentials = grpc.dynamic_ssl_server_credentials(
            certificates.get(),
            certificates.get,
            require_client_authentication=bool(self._settings.tls_client_ca),
        )
        return server.add_secure_port(listen, credentials)

    def _read_certificates(self) -> grpc.ServerCertificateConfiguration:
        settings = self._settings
        chain = _read_authorities("tls_cert", settings.tls_cert)
        key = _read("tls_key", settings.tls_key, secret=True)
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # The password is asked for at the terminal if none is given.
            context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
        except (ssl.SSLError, OSError) as error:
            raise CredentialError(
                "`tls_key` must hold the private key of the certificate in `tls_cert`, in PEM and "
                f"without a password; got {_shown(settings.tls_key)} ({_cause(error)})"
            ) from None
        authorities = None
        if settings.tls_client_ca:
            authorities = _read_authorities("tls_client_ca", settings.tls_client_ca)
        return grpc.ssl_server_certificate_configuration([(key, chain)], authorities)


class _TokenInterceptor(grpc.ServerInterceptor):
    """Refuses calls without a token that is known here, before their requests are read.

    It runs for one call at a time, in the thread that takes all of them.
    """

    def __init__(
        self, tokens: Renewed[tuple[bytes, ...]], note: Callable[[CallRecord], None]
    ) -> None:
        self._tokens = tokens
        self._note = note
        self._refusals: dict[tuple[str, str], _Handler] = {}
        self._logged_at = -math.inf

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], _Handler | None],
        details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Returns the handler of a call, or one that refuses it."""
        if details.method.startswith(_EXEMPT):
            return continuation(details)
        problem = find_problem(details.invocation_metadata, self._tokens.get())
        return self._refusal(details.method, problem) if problem else continuation(details)

    def _refusal(self, path: str, problem: str) -> _Handler:
        method = path.rpartition("/")[2]
        # Whoever isn't known doesn't choose the names that metrics have.
        key = method if method in _METHODS else "other", problem
        if key not in self._refusals:
            self._refusals[key] = self._make_refusal(*key)
        return self._refusals[key]

    def _make_refusal(self, method: str, problem: str) -> _Handler:
        error = AuthenticationError(
            "the metadata `authorization` must be `Bearer` and a token that this server "
            f"knows; got {problem}",
            field="authorization",
        )
        status, detail = describe(error, "")  # it was not read, so its id isn't known
        answer = to_grpc(status)
        reason = Reason.Name(detail.reason).removeprefix("ERROR_REASON_")

        def refuse(context: grpc.ServicerContext) -> NoReturn:
            peer = context.peer() if self._is_to_be_logged() else ""
            status_name = answer.code.name
            self._note(
                CallRecord(method, status=status_name, reason=reason, peer=peer, unread=True)
            )
            context.abort_with_status(answer)

        return refusing_handler(refuse)

    def _is_to_be_logged(self) -> bool:
        """Says of one call in a while that its line shall be written: there may be thousands."""
        now = time.monotonic()
        due = now - self._logged_at >= _LOG_PERIOD_SECONDS
        if due:
            self._logged_at = now
        return due


def find_problem(metadata: Any, tokens: tuple[bytes, ...]) -> str:
    """Returns what is wrong with the token of a call; empty if nothing is."""
    for name, value in metadata:
        if name == "authorization":
            scheme, _, token = value.partition(" ")
            if scheme.lower() != "bearer":
                return "another scheme than Bearer"
            presented = token.encode("utf-8", "replace")
            # All of them, so that the time says nothing of where one was found.
            same = [hmac.compare_digest(presented, known) for known in tokens]
            return "" if any(same) else "a token that isn't known"
    return "no token"


def read_tokens(name: str, path: str) -> tuple[bytes, ...]:
    """Reads a file of tokens, one in a line.

    Raises:
        CredentialError: it can't be read, or holds something else.
    """
    lines = _read(name, path, secret=True).splitlines()
    tokens = []
    for number, line in enumerate(lines, 1):
        token = line.strip()
        if not token:
            continue
        if len(token) < MIN_TOKEN_CHARS or not all(0x21 <= byte <= 0x7E for byte in token):
            raise CredentialError(
                f"`{name}` must hold tokens of at least {MIN_TOKEN_CHARS} printable characters of "
                f"ASCII, one in a line; got another line {number} in {path!r}"
            )
        tokens.append(token)
    if not 1 <= len(tokens) <= MAX_TOKENS:
        raise CredentialError(
            f"`{name}` must hold 1 to {MAX_TOKENS} tokens; got {len(tokens)} in {path!r}"
        )
    return tuple(tokens)


def _read_authorities(name: str, path: str) -> bytes:
    data = _read(name, path)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(cadata=data.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise CredentialError(
            f"`{name}` must hold certificates in PEM; got {_shown(path)} ({_cause(error)})"
        ) from None
    return data


def _read(name: str, path: str, *, secret: bool = False) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
            if secret and os.fstat(file.fileno()).st_mode & stat.S_IROTH:
                _log.warning("`%s` should not be readable by all users; %s is", name, path)
    except (OSError, ValueError) as error:
        raise CredentialError(
            f"`{name}` must be a file that can be read; got {_shown(path)} ({_cause(error)})"
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise CredentialError(
            f"`{name}` must be a file of at most {MAX_FILE_BYTES} bytes; {path!r} has more"
        )
    return data


def _shown(path: str) -> str:
    """Returns a path for a message; a key may have been given in its place."""
    return "PEM instead of its path" if "-----" in path else repr(path)


def _cause(error: Exception) -> str:
    """Returns OpenSSL's or the system's word for an error; what the file holds isn't in it."""
    if isinstance(error, ssl.SSLError):
        return error.reason or "it can't be parsed"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
