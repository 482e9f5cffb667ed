"""Files of certificates, keys and tokens: read and checked, for the client and the server.

Must not import gRPC. No error message holds the contents of a key or a token.
"""

from __future__ import annotations

import os
import ssl
from typing import TypeAlias

FilePath: TypeAlias = str | os.PathLike[str]

MAX_FILE_BYTES = 2**20


class CredentialFileError(ValueError):
    """A file can't be used; the message names the argument or setting, the rule and the file.

    Attributes:
        field: The argument or setting.
    """

    def __init__(self, field: str, rule: str, got: str) -> None:
        super().__init__(f"`{field}` {rule}; got {got}")
        self.field = field


def read_certificates(field: str, path: FilePath) -> bytes:
    """Reads certificates in PEM, and has OpenSSL parse them.

    gRPC would only say, later, that it can't connect.

    Args:
        field: The argument or setting that names the file, for messages.
        path: The file.

    Raises:
        CredentialFileError: the file can't be read, or holds something else.
    """
    data = _read(field, path)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=data.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise CredentialFileError(
            field, "must hold certificates in PEM", f"{_shown(path)} ({_parse_problem(error)})"
        ) from None
    return data


def read_key(field: str, path: FilePath, cert_field: str, cert_path: FilePath) -> bytes:
    """Reads a private key in PEM, and checks that it belongs to a certificate.

    Args:
        field: The argument or setting that names the key's file, for messages.
        path: The key's file.
        cert_field: The same for the certificate.
        cert_path: The certificate's file.

    Raises:
        CredentialFileError: the file can't be read, or holds something else.
    """
    data = _read(field, path)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The password is asked for at the terminal if none is given.
        context.load_cert_chain(cert_path, path, password="")
    except (ssl.SSLError, OSError) as error:
        raise CredentialFileError(
            field,
            f"must hold the private key of the certificate in `{cert_field}`, in PEM and without "
            "a password",
            f"{_shown(path)} ({_parse_problem(error)})",
        ) from None
    return data


def read_token_lines(field: str, path: FilePath) -> list[tuple[int, str]]:
    """Reads a file with one token in a line.

    Args:
        field: The argument or setting that names the file, for messages.
        path: The file.

    Returns:
        The lines that aren't blank, with their numbers and without the white
        space around them. They may hold any character; see ``fits_header``.

    Raises:
        CredentialFileError: the file can't be read.
    """
    lines = enumerate(_read(field, path).splitlines(), 1)
    # Each byte is a character of Latin-1, so no line fails to decode.
    return [(number, line.strip().decode("latin-1")) for number, line in lines if line.strip()]


def fits_header(token: str) -> bool:
    """Returns whether all characters are printable ASCII other than the space."""
    return all("!" <= char <= "~" for char in token)


def file_stamp(path: FilePath) -> tuple[int, ...] | None:
    """Returns values that change when a file does; None if it isn't there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _read(field: str, path: FilePath) -> bytes:
    try:
        with open(os.fspath(path), "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError, TypeError) as error:
        cause = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        raise CredentialFileError(
            field, "must be a file that can be read", f"{_shown(path)} ({cause})"
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise CredentialFileError(
            field, f"must be a file of at most {MAX_FILE_BYTES} bytes", f"{_shown(path)} with more"
        )
    return data


def _shown(path: FilePath) -> str:
    """Returns a path for a message; a key may have been given in its place."""
    return "PEM instead of its path" if "-----" in str(path) else repr(str(path))


def _parse_problem(error: Exception) -> str:
    """Returns OpenSSL's reason for refusing a file; it holds nothing of the contents."""
    return getattr(error, "reason", None) or "it can't be parsed"
