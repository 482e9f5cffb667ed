from __future__ import annotations

from pathlib import Path

import pytest

from gradwire.credential_files import CredentialFileError
from gradwire_server.rpc.auth.tokens import MAX_TOKENS, find_problem, read_tokens
from secured import TOKEN, write_tokens


def _write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize(
    "content", ["x" * 15, "x" * 15 + "\u00e4", "x" * 8 + " " + "x" * 8, "x" * 15 + "\x7f"]
)
def test_tokens_have_a_form(tmp_path: Path, content: str) -> None:
    """At least 16 characters that a header can carry; the message says which line is wrong."""
    path = _write(tmp_path / "tokens", f"{TOKEN}\n{content}\n".encode())
    with pytest.raises(
        CredentialFileError, match=r"`t` must hold tokens of at least 16.*line 2"
    ) as got:
        read_tokens("t", path)
    assert content not in str(got.value)


def test_the_number_of_tokens_is_bounded(tmp_path: Path) -> None:
    """Each call is compared with all; with none no client could call the server."""
    tokens = [f"token-number-{number:05}" for number in range(MAX_TOKENS + 1)]
    path = write_tokens(tmp_path / "tokens", *tokens[:-1])
    assert len(read_tokens("t", str(path))) == MAX_TOKENS
    write_tokens(path, *tokens)
    with pytest.raises(CredentialFileError, match="`t` must hold 1 to 64 tokens; got 65"):
        read_tokens("t", str(path))
    for empty in ("", " \n\n"):
        path.write_text(empty)
        with pytest.raises(CredentialFileError, match="`t` must hold 1 to 64 tokens; got 0"):
            read_tokens("t", str(path))


def test_sixteen_characters_and_windows_lines_are_fine(tmp_path: Path) -> None:
    """White space around a token doesn't belong to it."""
    path = _write(tmp_path / "tokens", b"  0123456789abcde~\r\n\r\n!123456789abcdef\r\n")
    assert list(read_tokens("t", path)) == [b"0123456789abcde~", b"!123456789abcdef"]


def test_a_token_may_have_a_name(tmp_path: Path) -> None:
    """Several may have one; a token without gets a name that is not the token."""
    lines = b"alice:0123456789abcdef\nalice:fedcba9876543210\n!23456789abcdef:0123\n"
    first, second, other = read_tokens("t", _write(tmp_path / "tokens", lines)).items()
    assert (first, second) == ((b"0123456789abcdef", "alice"), (b"fedcba9876543210", "alice"))
    assert other[0] == b"!23456789abcdef:0123"
    assert other[1] not in other[0].decode()
    with pytest.raises(CredentialFileError, match=r"`t` must hold tokens of at least 16.*line 1"):
        read_tokens("t", _write(tmp_path / "tokens", b"alice:0123456789abcde\n"))


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


def test_two_tokens_are_refused() -> None:
    """A proxy may have looked at the one, and this server would look at the other."""
    twice = [("authorization", "Bearer abc")] * 2
    assert find_problem(twice, (b"abc",)) == "more than one entry"
