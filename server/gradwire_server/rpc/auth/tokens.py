"""Tokens: reading their file, and refusing calls that present none of them."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn, TypeAlias

import grpc

from gradwire.credential_files import CredentialFileError, fits_header, read_token_lines
from gradwire.errors import AuthenticationError, Reason
from gradwire.v1 import service_pb2
from gradwire_server.rpc.admission.refusals import refusing_handler
from gradwire_server.rpc.auth.permissions import warn_if_public
from gradwire_server.rpc.auth.renewal import Renewed
from gradwire_server.rpc.status import describe, to_grpc
from gradwire_server.serving.call_record import CallRecord

MIN_TOKEN_CHARS = 16
MAX_TOKENS = 64
"""Each call is compared with all of them."""

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):(.*)")
_NAME_DIGITS = 16
_LOG_PERIOD_SECONDS = 1.0

_EXEMPT = "/grpc.health.v1.Health/"
"""Balancers and probes can't present a token."""

_METHODS = frozenset(
    method.name for method in service_pb2.DESCRIPTOR.services_by_name["DerivativeService"].methods
)

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class TokenInterceptor(grpc.ServerInterceptor):
    """Refuses calls without a valid token, before their requests are read.

    It runs for one call at a time, in the thread that accepts all of them.
    """

    def __init__(
        self, tokens: Renewed[Mapping[bytes, str]], note: Callable[[CallRecord], None]
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
        # A caller without a valid token must not choose the labels of metrics.
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
        status, detail = describe(error, "")  # its message was not read, so its id isn't known
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
        """Returns whether to log this refusal: one in a while, since there may be thousands."""
        now = time.monotonic()
        due = now - self._logged_at >= _LOG_PERIOD_SECONDS
        if due:
            self._logged_at = now
        return due


def find_problem(metadata: Any, tokens: Collection[bytes]) -> str:
    """Returns what is wrong with the token of a call; empty if nothing is."""
    presented = [value for name, value in metadata if name == "authorization"]
    if not presented:
        return "no token"
    if len(presented) > 1:  # a proxy may have looked at another one than this server would
        return "more than one entry"
    scheme, _, token = presented[0].partition(" ")
    if scheme.lower() != "bearer":
        return "another scheme than Bearer"
    secret = token.encode("utf-8", "replace")
    # All of them, so that the time says nothing of where one was found.
    same = [hmac.compare_digest(secret, known) for known in tokens]
    return "" if any(same) else "a token that isn't known"


def read_tokens(name: str, path: str) -> Mapping[bytes, str]:
    """Reads a file of tokens, one in a line: the token, or its name, a colon and the token.

    Tokens of one name belong to one caller, who keeps it when a token is renewed.

    Args:
        name: The setting that names the file, for messages.
        path: The file.

    Returns:
        The name of each token. One without a name has a hash of itself as its name.

    Raises:
        CredentialFileError: it can't be read, or holds something else.
    """
    tokens = {}
    for number, line in read_token_lines(name, path):
        named = _NAMED.fullmatch(line)
        caller, token = named.groups() if named else ("", line)
        if len(token) < MIN_TOKEN_CHARS or not fits_header(token):
            raise CredentialFileError(
                name,
                f"must hold tokens of at least {MIN_TOKEN_CHARS} printable characters of ASCII, "
                "one in a line",
                f"another line {number} in {path!r}",
            )
        secret = token.encode("ascii")
        tokens[secret] = caller or hashlib.sha256(secret).hexdigest()[:_NAME_DIGITS]
    if not 1 <= len(tokens) <= MAX_TOKENS:
        raise CredentialFileError(
            name, f"must hold 1 to {MAX_TOKENS} tokens", f"{len(tokens)} in {path!r}"
        )
    warn_if_public(name, path)
    return tokens
