from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority
from gradwire_server.app import build
from gradwire_server.rpc.auth.guard import (
    MAX_FILE_BYTES,
    MAX_TOKENS,
    CredentialError,
    Guard,
    find_problem,
    read_tokens,
)
from gradwire_server.start_error import StartError
from secured import TOKEN, write_tokens
from serving import settings_in


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def _write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


def _refusal(folder: Path, **values: Any) -> str:
    with pytest.raises(StartError) as caught:
        build(settings_in(folder, **values))
    return str(caught.value)


def test_files_that_cannot_be_used_end_the_start(authority: Authority, tmp_path: Path) -> None:
    """The message names the setting, the rule and the file, and nothing of what it holds."""
    pair, other = authority.issue("a.test"), authority.issue("b.test")
    tls = {"tls_cert": pair.cert, "tls_key": pair.key, "tls_client_ca": authority.ca}
    none = str(tmp_path / "none")
    junk = _write(tmp_path / "junk", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END")
    binary = _write(tmp_path / "binary", bytes(range(256)))
    large = _write(tmp_path / "large", b"x" * (MAX_FILE_BYTES + 1))
    for name, rule in {
        "tls_cert": "must hold certificates in PEM",
        "tls_key": "must hold the private key of the certificate in `tls_cert`",
        "tls_client_ca": "must hold certificates in PEM",
    }.items():
        for path, text in {
            none: "must be a file that can be read; got",
            str(tmp_path): "must be a file that can be read; got",
            junk: rule,
            binary: rule,
            large: "must be a file of at most 1048576 bytes",
        }.items():
            message = _refusal(tmp_path, **{**tls, name: path})
            assert message.startswith(f"`{name}` {text}"), message
            assert repr(path) in message
            assert "c2VjcmV0" not in message
    message = _refusal(tmp_path, **{**tls, "tls_key": other.key})
    assert message.startswith("`tls_key` must hold the private key")
    assert "MISMATCH" in message.upper()
    Guard(settings_in(tmp_path, **tls))


def test_a_key_in_place_of_its_path_is_not_repeated(authority: Authority, tmp_path: Path) -> None:
    """As is easily done with environment variables."""
    pair = authority.issue("a.test")
    key = Path(pair.key).read_text()
    message = _refusal(tmp_path, tls_cert=pair.cert, tls_key=key)
    assert "got PEM instead of its path" in message
    assert key.splitlines()[1] not in message


def test_a_key_with_a_password_is_refused(authority: Authority, tmp_path: Path) -> None:
    """Nobody is there to be asked for it."""
    from cryptography.hazmat.primitives import serialization as form

    pair = authority.issue("a.test")
    key = form.load_pem_private_key(Path(pair.key).read_bytes(), None)
    locked = key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"password")
    )
    path = _write(tmp_path / "locked", locked)
    assert "without a password" in _refusal(tmp_path, tls_cert=pair.cert, tls_key=path)


@pytest.mark.parametrize(
    "content", ["x" * 15, "x" * 15 + "\u00e4", "x" * 8 + " " + "x" * 8, "x" * 15 + "\x7f"]
)
def test_tokens_have_a_form(tmp_path: Path, content: str) -> None:
    """At least 16 characters that a header can carry; the message says which line is wrong."""
    path = _write(tmp_path / "tokens", f"{TOKEN}\n{content}\n".encode())
    with pytest.raises(
        CredentialError, match=r"`t` must hold tokens of at least 16.*line 2"
    ) as got:
        read_tokens("t", path)
    assert content not in str(got.value)


def test_the_number_of_tokens_is_bounded(tmp_path: Path) -> None:
    """Each call is compared with all; none would be a server that nobody can call."""
    tokens = [f"token-number-{number:05}" for number in range(MAX_TOKENS + 1)]
    path = write_tokens(tmp_path / "tokens", *tokens[:-1])
    assert len(read_tokens("t", str(path))) == MAX_TOKENS
    write_tokens(path, *tokens)
    with pytest.raises(CredentialError, match="`t` must hold 1 to 64 tokens; got 65"):
        read_tokens("t", str(path))
    for empty in ("", " \n\n"):
        path.write_text(empty)
        with pytest.raises(CredentialError, match="`t` must hold 1 to 64 tokens; got 0"):
            read_tokens("t", str(path))


def test_sixteen_characters_and_windows_lines_are_fine(tmp_path: Path) -> None:
    """White space around a token doesn't belong to it."""
    path = _write(tmp_path / "tokens", b"  0123456789abcde~\r\n\r\n!123456789abcdef\r\n")
    assert read_tokens("t", path) == (b"0123456789abcde~", b"!123456789abcdef")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("Bearer abc", ""),
        ("BEARER xyz", ""),
        ("Bearer  abc", "a token that isn't known"),
        ("Bearer abcd", "a token that isn't known"),
        ("Bearer \u00e4\udc80", "a token that isn't known"),
        ("Bearer", "a token that isn't known"),
        ("abc", "another scheme than Bearer"),
        ("", "another scheme than Bearer"),
    ],
)
def test_a_token_is_compared(value: str, problem: str) -> None:
    """With all that are known, whole."""
    assert find_problem([("x", "y"), ("authorization", value)], (b"xyz", b"abc")) == problem
    assert find_problem([("x", value)], (b"xyz", b"abc")) == "no token"


def test_secrets_that_everybody_reads_are_warned_about(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys and tokens; certificates are public."""
    pair = authority.issue("a.test")
    tokens = write_tokens(tmp_path / "tokens", TOKEN)
    settings = settings_in(tmp_path, tls_cert=pair.cert, tls_key=pair.key, token_file=str(tokens))
    Guard(settings)
    assert caplog.text == ""
    for name, path in (("tls_key", Path(pair.key)), ("token_file", tokens)):
        caplog.clear()
        path.chmod(0o604)
        Guard(settings)
        assert f"`{name}` should not be readable by all users" in caplog.text
        path.chmod(0o640)


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        ({"listen": "0.0.0.0:1", "allow_plaintext_network": True}, True),
        ({"listen": "127.0.0.1:1"}, False),
        ({}, False),
    ],
)
def test_tokens_in_the_open_are_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: dict[str, Any], warned: bool
) -> None:
    """They are allowed where the network is, but whoever reads along can use them."""
    caplog.set_level(logging.WARNING)
    token_file = str(write_tokens(tmp_path / "tokens", TOKEN))
    Guard(settings_in(tmp_path, token_file=token_file, **values))
    assert ("tokens travel in the open" in caplog.text) is warned
