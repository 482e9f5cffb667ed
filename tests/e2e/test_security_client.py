"""Connections to servers that ask for certificates and tokens, and what goes wrong with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradwire as gw
from gradwire.v1 import error_pb2
from secured import OTHER_TOKEN, TOKEN, SecuredServers, open_secured_servers, write_tokens
from server_process import run_script

X = np.arange(3.0)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredServers]:
    with open_secured_servers(tmp_path_factory.mktemp("secured")) as secured:
        yield secured


def _works(connection: gw.Connection) -> bool:
    with connection:
        return bool(np.allclose(gw.grad(lambda x: np.sum(x**2))(X), 2 * X))


def _certified(secured: SecuredServers) -> gw.TLS:
    return gw.TLS(ca=secured.ours.ca, cert=secured.client.cert, key=secured.client.key)


RIGHT: dict[str, Callable[[SecuredServers], dict[str, Any]]] = {
    "plain": lambda h: {},
    "plain+token": lambda h: {"token": TOKEN},
    "tls": lambda h: {"tls": h.ours.ca},
    "tls+token": lambda h: {"tls": Path(h.ours.ca), "token": lambda: OTHER_TOKEN},
    "mtls": lambda h: {"tls": _certified(h)},
    "mtls+token": lambda h: {"tls": _certified(h), "token": h.token_file},
}


@pytest.mark.parametrize("name", RIGHT)
def test_whoever_has_what_is_asked_for_may_call(secured: SecuredServers, name: str) -> None:
    """With a path or a TLS, and with the token, a function, or a file."""
    assert _works(gw.connect(secured.apps[name].address, **RIGHT[name](secured)))


def test_a_server_may_have_another_name(secured: SecuredServers) -> None:
    """That of its certificate, where the address is another."""
    tls = gw.TLS(ca=secured.ours.ca, server_name="gradwire.test")
    assert _works(gw.connect(secured.apps["tls"].address, tls=tls))


NOT_CONNECTED: dict[str, tuple[str, Callable[[SecuredServers], Any], str]] = {
    "no tls": ("tls", lambda h: None, "the server requires `tls`"),
    "no tls, but a certificate": ("mtls", lambda h: False, "the server requires `tls`"),
    "wrong authority": ("tls", lambda h: h.theirs.ca, "does not come from an authority that `tls`"),
    "public authorities": ("tls", lambda h: True, "does not come from an authority that `tls`"),
    "wrong name": (
        "tls",
        lambda h: gw.TLS(ca=h.ours.ca, server_name="elsewhere.test"),
        "is for another name",
    ),
    "no certificate": ("mtls", lambda h: h.ours.ca, "requires another certificate of the client"),
    "wrong certificate": (
        "mtls",
        lambda h: gw.TLS(**_files(h, h.theirs.issue("client@gradwire.test"))),
        "requires another certificate of the client",
    ),
    "tls to a plain server": ("plain", lambda h: h.ours.ca, "does not encrypt"),
}


def _files(secured: SecuredServers, pair: Any) -> dict[str, str]:
    return {"ca": secured.ours.ca, "cert": pair.cert, "key": pair.key}


def test_what_is_probably_wrong_is_said_in_five_seconds(secured: SecuredServers) -> None:
    """For each way in which the connection of a client and a server can fail."""

    def connect(name: str, tls: Any) -> tuple[Exception | None, float]:
        start = time.monotonic()
        with pytest.raises(gw.UnavailableError) as caught:
            gw.connect(secured.apps[name].address, tls=tls)
        return caught.value, time.monotonic() - start

    with futures.ThreadPoolExecutor(len(NOT_CONNECTED)) as pool:
        results = {
            case: pool.submit(connect, name, tls(secured))
            for case, (name, tls, _) in NOT_CONNECTED.items()
        }
    for case, (name, _, text) in NOT_CONNECTED.items():
        error, seconds = results[case].result()
        assert secured.apps[name].address in str(error), case
        assert "Probably" in str(error), case
        assert text in str(error), (case, str(error))
        assert seconds < 15, case


WRONG_TOKENS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "wrong": lambda: "a-token-that-is-not-known",
    "renewed wrongly": lambda: lambda: "a-token-that-is-not-known",
}


@pytest.mark.parametrize("token", WRONG_TOKENS)
@pytest.mark.parametrize("name", ["plain+token", "tls+token", "mtls+token"])
def test_a_stranger_is_told_so_at_once(secured: SecuredServers, name: str, token: str) -> None:
    """With an error of its own, which names the server and is not retried."""
    tls = RIGHT[name](secured).get("tls")
    start = time.monotonic()
    with pytest.raises(gw.AuthenticationError, match="`authorization` must be") as caught:
        gw.connect(secured.apps[name].address, tls=tls, token=WRONG_TOKENS[token]())
    assert time.monotonic() - start < 4  # not five seconds, as for one that isn't there
    assert isinstance(caught.value, PermissionError)
    assert caught.value.reason == error_pb2.ERROR_REASON_UNAUTHENTICATED
    assert secured.apps[name].address in str(caught.value)
    assert ("no token" if token == "none" else "isn't known") in str(caught.value)
    assert "a-token" not in str(caught.value)


def test_a_token_is_asked_for_at_each_call(secured: SecuredServers) -> None:
    """So one that expires is renewed; if it wasn't, the error says so."""
    tokens = [TOKEN]
    with gw.connect(
        secured.apps["tls+token"].address, tls=secured.ours.ca, token=lambda: tokens[-1]
    ) as c:
        c.info()
        tokens.append("a-token-that-has-run-out")
        with pytest.raises(gw.AuthenticationError):
            c.info()
        tokens.append(OTHER_TOKEN)
        c.info()


def test_a_file_of_a_token_is_read_at_each_call(secured: SecuredServers, tmp_path: Path) -> None:
    """As a container's is replaced while it runs."""
    path = write_tokens(tmp_path / "token", "a-token-that-is-not-known")
    with pytest.raises(gw.AuthenticationError):
        gw.connect(secured.apps["plain+token"].address, token=path)
    write_tokens(path, TOKEN)
    with gw.connect(secured.apps["plain+token"].address, token=path) as connection:
        write_tokens(path, OTHER_TOKEN, "what comes later doesn't matter")
        connection.info()
        path.unlink()
        with pytest.raises(gw.InvalidInputError, match="`token` must be a file"):
            connection.info()


def test_the_environment_names_credentials(
    secured: SecuredServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the address; connections that a program makes itself don't use them."""
    variables = {
        "TARGET": secured.apps["mtls+token"].address,
        "TLS_CA": secured.ours.ca,
        "TLS_CERT": secured.client.cert,
        "TLS_KEY": secured.client.key,
        "TLS_SERVER_NAME": "gradwire.test",
        "TOKEN_FILE": str(secured.token_file),
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"GRADWIRE_{name}", value)
    connection = gw.current_connection()
    assert connection.target == variables["TARGET"]
    connection.info()
    connection.close()
    with pytest.raises(gw.AuthenticationError, match="no token"):
        gw.connect(secured.apps["plain+token"].address)
    monkeypatch.setenv("GRADWIRE_TOKEN_FILE", "")
    with pytest.raises(gw.AuthenticationError) as caught:
        gw.current_connection()
    assert any("GRADWIRE_TOKEN_FILE" in note for note in caught.value.__notes__)


PUBLIC = """
import sys
import numpy as np
import gradwire as gw

with gw.connect(sys.argv[1], tls=True):
    print(gw.remote(np.sum)(np.arange(4.0)))
"""


def test_public_authorities_may_be_named_in_the_environment(secured: SecuredServers) -> None:
    """As for every program that uses gRPC."""
    variables = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": secured.ours.ca}
    assert run_script(PUBLIC, secured.apps["tls"].address, **variables) == ["6.0"]


FORKING = """
import multiprocessing, os, sys
import numpy as np
import gradwire as gw

def run(x):
    return float(gw.grad(lambda x: x**2)(np.float64(x)))

tls = gw.TLS(ca=sys.argv[2], cert=sys.argv[3], key=sys.argv[4])
with gw.connect(sys.argv[1], tls=tls, token=lambda: sys.argv[5]):
    print(run(1.0))
    for name in sys.argv[2:5]:
        os.rename(name, name + ".gone")  # read once
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(run, [2.0, 3.0]))
    print(run(4.0))
"""


def test_forked_processes_prove_themselves_too(secured: SecuredServers, tmp_path: Path) -> None:
    """Over encrypted connections of their own."""
    files = []
    for number, path in enumerate((secured.ours.ca, secured.client.cert, secured.client.key)):
        files.append(str(tmp_path / f"{number}.pem"))
        Path(files[-1]).write_bytes(Path(path).read_bytes())
    lines = run_script(FORKING, secured.apps["mtls+token"].address, *files, TOKEN)
    assert lines == ["2.0", "[4.0, 6.0]", "8.0"]


def test_a_private_server_asks_nobody(
    secured: SecuredServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the environment holds the settings of a server that does."""
    pair = secured.ours.issue("127.0.0.1")
    monkeypatch.setenv("GRADWIRE_SERVER_TOKEN_FILE", str(secured.token_file))
    monkeypatch.setenv("GRADWIRE_SERVER_TLS_CERT", pair.cert)
    monkeypatch.setenv("GRADWIRE_SERVER_TLS_KEY", pair.key)
    monkeypatch.setenv("GRADWIRE_SERVER_TLS_CLIENT_CA", secured.ours.ca)
    assert _works(gw.local())
