"""What callers may give for `tls` and `token`, and what they are told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gradwire as gw
from certificates import Authority
from gradwire.errors import InvalidInputError
from gradwire.transport.connection import connect
from gradwire.transport.credentials import TLS, credentials_from_environment, read_credentials
from gradwire.transport.default_connection import current_connection
from gradwire.transport.target import is_local
from scripted_server import ScriptedServer

REMOTE, LOCAL = "gpu-box:8701", "127.0.0.1:8701"
TOKEN = "a-token"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def _refused(target: str = LOCAL, tls: Any = None, token: Any = None) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        connect(target, tls=tls, token=token)
    return caught.value


@pytest.mark.parametrize(
    "target",
    [
        "localhost:1", "localhost", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "::1", "unix:/s",
        "unix:///s", "unix-abstract:s", "dns:localhost:1", "dns:///localhost:1",
        "ipv4:127.0.0.1:1", "ipv4:127.0.0.1:1,127.0.0.2:1", "ipv6:[::1]:1",
    ],
)  # fmt: skip
def test_addresses_of_this_machine_are_told_apart(target: str) -> None:
    """There a token can be sent without TLS."""
    assert is_local(target)
    assert read_credentials(target, None, TOKEN).token is not None


@pytest.mark.parametrize(
    "target",
    [
        "gpu-box:1", "10.0.0.1:1", "0.0.0.0:1", "[fe80::1]:1", "[::]:1", "127.0.0.1.example.org:1",
        "localhost.example.org:1", "127.example.org", "dns:///gpu-box:1", "xds:///localhost:1",
        "ipv4:127.0.0.1:1,10.0.0.1:1", "ipv4:10.0.0.1:1", "vsock:1:1", "",
    ],
)  # fmt: skip
def test_a_token_is_not_sent_unencrypted(target: str) -> None:
    """Unless that is written down; with TLS it is encrypted."""
    assert not is_local(target)
    with pytest.raises(InvalidInputError, match=r"`tls=False` sends it all the same") as caught:
        read_credentials(target, None, TOKEN)
    assert caught.value.field == "token"
    assert TOKEN not in str(caught.value)
    assert read_credentials(target, False, TOKEN).token is not None
    assert read_credentials(target, True, TOKEN).certificates is not None


def test_a_token_goes_with_every_call() -> None:
    """As `authorization`; without one there is no such metadata."""
    with ScriptedServer() as server:
        with connect(server.target, token=TOKEN) as connection:
            connection.prepare(b"program")
        assert [asked.metadata["authorization"] for asked in server.asked] == [
            f"Bearer {TOKEN}"
        ] * 2
        server.asked.clear()
        connect(server.target).close()
        assert "authorization" not in server.asked[0].metadata


@pytest.mark.parametrize(
    ("token", "got"),
    [
        ("", "0 characters"),
        ("x" * 4097, "4097 characters"),
        ("a b", "others"),
        ("a\nb", "others"),
        ("a\u00e4", "others"),
        (lambda: "a b", "others"),
        (lambda: None, "NoneType"),
        (lambda: b"bytes", "bytes"),
        (7, "int"),
        (b"bytes", "bytes"),
    ],
)
def test_a_token_has_a_form(token: Any, got: str) -> None:
    """What it was stays out of the message."""
    error = _refused(token=token)
    assert error.field == "token"
    assert str(error).startswith("`token` must")
    assert str(error).endswith(f"got {got}")


def test_a_file_of_a_token_must_hold_one(tmp_path: Path) -> None:
    """The message names the file."""
    assert str(_refused(token=tmp_path / "none")) == (
        f"`token` must be a file that can be read; got {str(tmp_path / 'none')!r} "
        "(No such file or directory)"
    )
    (tmp_path / "empty").write_text("\n\n")
    assert "got 0 characters" in str(_refused(token=tmp_path / "empty"))
    (tmp_path / "two").write_text("two words\n")
    assert str(_refused(token=tmp_path / "two")).endswith("got others")


def test_what_a_function_raises_is_raised() -> None:
    """It is the caller's own."""

    def fail() -> str:
        raise LookupError("no vault")

    with pytest.raises(LookupError, match="no vault"):
        connect(LOCAL, token=fail)


def test_files_of_certificates_are_checked(authority: Authority, tmp_path: Path) -> None:
    """Before anything is sent; the message names the attribute and the file."""
    pair, other = authority.issue("a.test"), authority.issue("b.test")
    right = {"ca": authority.ca, "cert": pair.cert, "key": pair.key}
    assert read_credentials(LOCAL, TLS(**right), None).certificates is not None
    junk = tmp_path / "junk"
    junk.write_bytes(b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n\xff\n-----END")
    for name, rule in {
        "ca": "must hold certificates in PEM",
        "cert": "must hold certificates in PEM",
        "key": "must hold the private key of the certificate in `tls.cert`",
    }.items():
        error = _refused(tls=TLS(**{**right, name: tmp_path / "none"}))
        assert str(error).startswith(f"`tls.{name}` must be a file that can be read; got")
        assert str(tmp_path / "none") in str(error)
        error = _refused(tls=TLS(**{**right, name: str(junk)}))
        assert str(error).startswith(f"`tls.{name}` {rule}")
        assert str(junk) in str(error)
        assert error.field == f"tls.{name}"
        assert "c2VjcmV0" not in str(error)
    assert "MISMATCH" in str(_refused(tls=TLS(**{**right, "key": other.key}))).upper()
    for missing in ("cert", "key"):
        assert "must come together" in str(_refused(tls=TLS(**{**right, missing: None})))


@pytest.mark.parametrize("tls", [1, 0, b"path", {"ca": "x"}, ("x",)])
def test_tls_is_one_of_four_things(tls: Any) -> None:
    """The message names the type of what came instead."""
    assert str(_refused(tls=tls)).endswith(f"or a gradwire.TLS; got {type(tls).__name__}")


def test_secrets_are_in_no_representation(authority: Authority) -> None:
    """Neither a token nor a key, nor a key given in place of its path."""
    pair = authority.issue("a.test")
    secret = Path(pair.key).read_text().splitlines()[1]
    tls = TLS(ca=authority.ca, cert=pair.cert, key=pair.key)
    texts = [repr(read_credentials(LOCAL, tls, TOKEN))]
    wrong = TLS(ca=authority.ca, cert=pair.cert, key=Path(pair.key).read_text())
    texts += [repr(wrong), str(_refused(tls=wrong))]
    with ScriptedServer() as server, connect(server.target, token=TOKEN) as connection:
        texts += [repr(connection), str(connection.__dict__)]
    for text in texts:
        assert TOKEN not in text
        assert secret not in text


@pytest.mark.parametrize(
    ("variables", "tls"),
    [
        ({}, None),
        ({"TLS": "", "TLS_CA": ""}, None),
        ({"TLS": "true"}, True),
        ({"TLS": "0"}, False),
        ({"TLS_CA": "a"}, TLS(ca="a")),
        (
            {"TLS": "1", "TLS_CERT": "b", "TLS_KEY": "c", "TLS_SERVER_NAME": "d"},
            TLS(cert="b", key="c", server_name="d"),
        ),
    ],
)
def test_the_environment_says_the_same(
    variables: dict[str, str], tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is empty is not there."""
    for name, value in variables.items():
        monkeypatch.setenv(f"GRADWIRE_{name}", value)
    assert credentials_from_environment() == (tls, None)
    monkeypatch.setenv("GRADWIRE_TOKEN_FILE", "t")
    assert credentials_from_environment() == (tls, Path("t"))


@pytest.mark.parametrize(
    "variables", [{"TLS": "maybe"}, {"TLS": "false", "TLS_CA": "a"}, {"TLS_CA": "/no/such/file"}]
)
def test_wrong_variables_are_named(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note says that the environment is what is wrong."""
    monkeypatch.setenv("GRADWIRE_TARGET", LOCAL)
    for name, value in variables.items():
        monkeypatch.setenv(f"GRADWIRE_{name}", value)
    with pytest.raises(InvalidInputError) as caught:
        current_connection()
    assert "GRADWIRE_TLS" in str(caught.value) + caught.value.__notes__[0]


def test_they_are_there_for_users() -> None:
    """Under the package's own name."""
    assert gw.TLS is TLS
    assert issubclass(gw.AuthenticationError, PermissionError)
