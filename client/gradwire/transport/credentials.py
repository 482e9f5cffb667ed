"""The certificates and the token of a connection. Must not import gRPC.

No message or representation holds a key or a token.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from gradwire.credential_files import (
    CredentialFileError,
    FilePath,
    file_stamp,
    fits_header,
    read_certificates,
    read_key,
    read_token_lines,
)
from gradwire.errors import InvalidInputError
from gradwire.transport.target import is_local

_MAX_TOKEN = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """How a connection is encrypted, and how its two ends authenticate each other.

    The files hold PEM. They are read when the connection is made: a renewed
    certificate takes effect in the next connection.

    Attributes:
        ca: The certificates of the authorities that the server's must come from.
            By default the public ones that come with gRPC, or those in the file
            that the environment variable GRPC_DEFAULT_SSL_ROOTS_FILE_PATH names.
        cert: The client's certificate, and those that lead to its authority, for
            a server that requires one.
        key: Its private key, without a password.
        server_name: The name that the server's certificate must have, if it
            isn't the host of the address.
    """

    ca: FilePath | None = None
    cert: FilePath | None = None
    key: FilePath | None = field(default=None, repr=False)
    server_name: str | None = None


TLSChoice: TypeAlias = bool | FilePath | TLS | None
TokenSource: TypeAlias = FilePath | Callable[[], str] | None


@dataclass(frozen=True, slots=True)
class Certificates:
    """The contents of the files of ``TLS``."""

    ca: bytes | None
    cert: bytes | None
    key: bytes | None = field(repr=False)
    server_name: str | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a channel needs to know.

    Attributes:
        certificates: For TLS; None for none.
        token: Returns the token of the next call; None where there is none.
    """

    certificates: Certificates | None = None
    token: Callable[[], str] | None = None


def read_credentials(target: str, tls: TLSChoice, token: TokenSource) -> Credentials:
    """Checks what a caller has given for ``tls`` and ``token``. See ``connect``.

    Raises:
        InvalidInputError: it can't be used; the message names the argument.
    """
    certificates = _read_tls(tls)
    if token is not None and certificates is None and tls is not False and not is_local(target):
        raise InvalidInputError(
            f"`token` must not be sent unencrypted; got the address {target!r} without `tls`. "
            "`tls=False` sends it all the same, over a network that you trust",
            field="token",
        )
    source = _token_source(token)
    if source is not None:
        source()  # an error is raised now, not at the first call
    return Credentials(certificates, source)


def credentials_from_environment() -> tuple[TLSChoice, TokenSource]:
    """Returns the values of ``tls`` and ``token`` for GRADWIRE_TARGET. See ``current_connection``.

    Raises:
        InvalidInputError: a variable has an invalid value.
    """
    token = os.environ.get("GRADWIRE_TOKEN_FILE")
    values = {
        name: os.environ.get(f"GRADWIRE_TLS_{name.upper()}") or None
        for name in ("ca", "cert", "key", "server_name")
    }
    choice = os.environ.get("GRADWIRE_TLS", "").lower()
    if choice not in {"", "true", "1", "false", "0"}:
        raise InvalidInputError(f"`GRADWIRE_TLS` must be true or false; got {choice!r}")
    tls: TLSChoice = {"true": True, "1": True, "false": False, "0": False}.get(choice)
    if any(values.values()):
        if tls is False:
            raise InvalidInputError(
                "`GRADWIRE_TLS` must not be false where another GRADWIRE_TLS_… is set; got both"
            )
        tls = TLS(**values)
    return tls, Path(token) if token else None


def _read_tls(tls: TLSChoice) -> Certificates | None:
    if tls is None or tls is False:
        return None
    if tls is True:
        tls = TLS()
    elif isinstance(tls, str | os.PathLike):
        tls = TLS(ca=tls)
    elif not isinstance(tls, TLS):
        raise InvalidInputError(
            "`tls` must be true, false, the path of a file of authorities, or a gradwire.TLS; "
            f"got {type(tls).__name__}",
            field="tls",
        )
    if (tls.cert is None) != (tls.key is None):
        raise InvalidInputError("`tls.cert` and `tls.key` must come together; got one of them")
    ca = cert = key = None
    try:
        if tls.ca is not None:
            ca = read_certificates("tls.ca", tls.ca)
        if tls.cert is not None and tls.key is not None:
            cert = read_certificates("tls.cert", tls.cert)
            key = read_key("tls.key", tls.key, "tls.cert", tls.cert)
    except CredentialFileError as error:
        raise _refusal(error) from None
    return Certificates(ca, cert, key, tls.server_name)


def _token_source(token: TokenSource) -> Callable[[], str] | None:
    if token is None:
        return None
    if isinstance(token, str):
        return lambda: _check_token(token)
    if isinstance(token, os.PathLike):
        return _TokenFile(token)
    if callable(token):
        make = token
        return lambda: _check_token(make())
    raise InvalidInputError(
        "`token` must be a string, a path, or a function that returns a string; "
        f"got {type(token).__name__}",
        field="token",
    )


class _TokenFile:
    """Returns the token on a file's first line; reads it again when the file has changed."""

    def __init__(self, path: os.PathLike[str]) -> None:
        self._path = path
        self._read: tuple[object, str] = (None, "")

    def __call__(self) -> str:
        stamp = file_stamp(self._path)
        known, token = self._read
        if stamp is None or stamp != known:
            try:
                lines = read_token_lines("token", self._path)
            except CredentialFileError as error:
                raise _refusal(error) from None
            token = _check_token(lines[0][1] if lines else "")
            self._read = stamp, token
        return token


def _check_token(token: object) -> str:
    """Returns the token if it can be sent as metadata. The message doesn't hold it."""
    if not isinstance(token, str):
        problem = type(token).__name__
    elif not 1 <= len(token) <= _MAX_TOKEN:
        problem = f"{len(token)} characters"
    elif not fits_header(token):
        problem = "others"
    else:
        return token
    raise InvalidInputError(
        f"`token` must have 1 to {_MAX_TOKEN} printable ASCII characters, without spaces; "
        f"got {problem}",
        field="token",
    )


def _refusal(error: CredentialFileError) -> InvalidInputError:
    return InvalidInputError(str(error), field=error.field)
