"""The name of a caller, by which the server is fair: one caller must not starve another.

The name of its token comes first, then that of its certificate, then a secret that a
client makes for itself, and last the address that it calls from. It says nothing of what
the caller may do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping

import grpc

from gradwire_server.rpc.peers import host_of

CALLER_HEADER = "gradwire-caller"
"""Metadata with a secret of the client's own. Its hash is the name, not itself."""

_MAX_NAME = 64
_HASH_DIGITS = 16
_CERTIFICATE_FIELDS = ("x509_subject_alternative_name", "x509_common_name")

Tokens = Callable[[], Mapping[bytes, str]]


class Identities:
    """Names callers."""

    def __init__(
        self, tokens: Tokens | None, balancers: Collection[str] = (), *, certificates: bool
    ) -> None:
        """Makes it.

        Args:
            tokens: Returns the names of the tokens that are known; None where none is
                asked for.
            balancers: Names in the certificates of balancers, which call for others.
            certificates: Whether clients are asked for certificates. To look for one
                takes a third of the time that a name takes.
        """
        self._tokens = tokens
        self._balancers = frozenset(balancers)
        self._certificates = certificates

    def name(self, context: grpc.ServicerContext) -> str:
        """Returns the name of the caller."""
        metadata = dict(context.invocation_metadata())
        if self._tokens is not None:
            secret = str(metadata.get("authorization", "")).partition(" ")[2]
            known = self._tokens().get(secret.encode("utf-8", "replace"))
            if known is not None:
                return f"token:{known}"
        certificate = self._certificate(context) if self._certificates else ""
        if certificate:
            return f"certificate:{certificate}"
        own = metadata.get(CALLER_HEADER)
        if own:
            data = own if isinstance(own, bytes) else own.encode("utf-8", "replace")
            return f"client:{hashlib.sha256(data).hexdigest()[:_HASH_DIGITS]}"
        return f"peer:{host_of(context.peer())}"

    def _certificate(self, context: grpc.ServicerContext) -> str:
        """Returns the first name in the client's certificate; empty for a balancer's."""
        found: Mapping[str, list[bytes]] = context.auth_context()  # type: ignore[assignment]
        names = [
            name.decode("utf-8", "replace")[:_MAX_NAME]
            for field in _CERTIFICATE_FIELDS
            for name in found.get(field, ())
        ]
        return "" if not names or self._balancers.intersection(names) else names[0]
