from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority
from gradwire.credential_files import MAX_FILE_BYTES
from gradwire_server.app import build
from gradwire_server.rpc.auth.guard import CredentialError, Guard
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
    with pytest.raises(CredentialError, match="`token_file` must hold 1 to 64 tokens"):
        Guard(settings_in(tmp_path, token_file=_write(tmp_path / "empty", b"")))
    Guard(settings_in(tmp_path, **tls))


def test_a_key_in_place_of_its_path_is_not_repeated(authority: Authority, tmp_path: Path) -> None:
    """As is easily done with environment variables."""
    pair = authority.issue("a.test")
    key = Path(pair.key).read_text()
    message = _refusal(tmp_path, tls_cert=pair.cert, tls_key=key)
    assert "got PEM instead of its path" in message
    assert key.splitlines()[1] not in message


def test_a_key_with_a_password_is_refused(authority: Authority, tmp_path: Path) -> None:
    """A server can't ask for it."""
    from cryptography.hazmat.primitives import serialization as form

    pair = authority.issue("a.test")
    key = form.load_pem_private_key(Path(pair.key).read_bytes(), None)
    locked = key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"password")
    )
    path = _write(tmp_path / "locked", locked)
    assert "without a password" in _refusal(tmp_path, tls_cert=pair.cert, tls_key=path)


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
def test_unencrypted_tokens_are_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: dict[str, Any], warned: bool
) -> None:
    """They are allowed where plaintext is, but others on the network can use them."""
    caplog.set_level(logging.WARNING)
    token_file = str(write_tokens(tmp_path / "tokens", TOKEN))
    Guard(settings_in(tmp_path, token_file=token_file, **values))
    assert ("tokens travel unencrypted" in caplog.text) is warned
