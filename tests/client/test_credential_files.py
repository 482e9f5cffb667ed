from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority
from gradwire.credential_files import (
    MAX_FILE_BYTES,
    CredentialFileError,
    file_stamp,
    fits_header,
    read_certificates,
    read_key,
    read_token_lines,
)


def test_an_error_names_the_field_the_rule_and_the_file(tmp_path: Path) -> None:
    """It is a ValueError, which each side maps to an error of its own."""
    path = tmp_path / "none"
    with pytest.raises(CredentialFileError) as caught:
        read_certificates("x", path)
    assert isinstance(caught.value, ValueError)
    assert caught.value.field == "x"
    assert str(caught.value) == (
        f"`x` must be a file that can be read; got {str(path)!r} (No such file or directory)"
    )


@pytest.mark.parametrize("path", [7, "a\0b", None])
def test_a_path_must_be_one(path: Any) -> None:
    """A number is no open file, and there is nothing that is read by default."""
    with pytest.raises(CredentialFileError, match="`x` must be a file that can be read"):
        read_token_lines("x", path)


def test_the_size_of_a_file_is_bounded(tmp_path: Path) -> None:
    """At the bound it is read; over it the message says so."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * MAX_FILE_BYTES)
    assert read_token_lines("x", path) == [(1, "x" * MAX_FILE_BYTES)]
    path.write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(CredentialFileError, match=f"at most {MAX_FILE_BYTES} bytes; got .* more"):
        read_token_lines("x", path)


@pytest.mark.parametrize("data", [b"", b"\n", bytes(range(256)), b"-----BEGIN CERTIFICATE-----\n"])
def test_certificates_are_parsed(tmp_path: Path, data: bytes) -> None:
    """What holds none is refused, whatever it holds."""
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(
        CredentialFileError, match=r"`x` must hold certificates in PEM; got '.*parsed"
    ):
        read_certificates("x", path)


def test_a_key_belongs_to_its_certificate(tmp_path: Path) -> None:
    """Contents are returned if it does; neither is in the message if it doesn't."""
    authority = Authority(tmp_path, "authority")
    pair, other = authority.issue("a.test"), authority.issue("b.test")
    assert (read_key("k", pair.key, "c", pair.cert), read_certificates("c", pair.cert)) == (
        pair.contents
    )
    for wrong in (other.key, pair.cert):
        with pytest.raises(CredentialFileError, match="`k` must hold the private key of") as caught:
            read_key("k", wrong, "c", pair.cert)
        assert "certificate in `c`" in str(caught.value)
        assert Path(wrong).read_text().splitlines()[1] not in str(caught.value)
    with pytest.raises(CredentialFileError, match="PEM instead of its path") as caught:
        read_key("k", Path(pair.key).read_text(), "c", pair.cert)
    assert Path(pair.key).read_text().splitlines()[1] not in str(caught.value)


def test_lines_of_tokens_are_numbered(tmp_path: Path) -> None:
    """Blank ones are left out, and white space around a token doesn't belong to it."""
    path = tmp_path / "file"
    path.write_bytes(b"\r\n  first \r\n\n\xff second")
    assert read_token_lines("x", path) == [(2, "first"), (4, "\xff second")]


@pytest.mark.parametrize("wrong", [" ", "\t", "\x7f", "\xff", "\u00a0", "\ud800", "\0"])
def test_a_header_holds_printable_ascii(wrong: str) -> None:
    """From the first printable character after the space to the last."""
    assert fits_header("!token~")
    assert not fits_header(f"token{wrong}")


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    """With its contents, and with another file in its place; a missing one has none."""
    path, other = tmp_path / "file", tmp_path / "other"
    assert file_stamp(path) is None
    assert file_stamp("a\0b") is None
    path.write_text("1")
    stamps = [file_stamp(path)]
    assert file_stamp(path) == stamps[0]
    path.write_text("22")
    stamps.append(file_stamp(path))
    other.write_text("33")
    os.replace(other, path)
    stamps.append(file_stamp(path))
    assert None not in stamps
    assert len(set(stamps)) == 3
