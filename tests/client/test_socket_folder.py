from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gradwire.errors import UnavailableError
from gradwire.transport.socket_folder import make_socket_folder

ReadOnly = Callable[..., None]


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> ReadOnly:
    """Makes places where nothing can be made; root could make folders in what is only chmodded."""

    def set_up(*places: str | Path) -> None:
        make = tempfile.mkdtemp

        def refuse(*args: Any, **kwargs: Any) -> str:
            if str(kwargs["dir"]) in map(str, places):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            return make(*args, **kwargs)

        monkeypatch.setattr(tempfile, "mkdtemp", refuse)

    return set_up


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "TMPDIR"])
def test_another_folder_is_taken_where_tmp_is_read_only(
    read_only: ReadOnly, short: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """One that the environment names, if it is absolute; for this user alone, too."""
    read_only("/tmp")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    monkeypatch.setenv(variable, str(short))
    folder = Path(make_socket_folder())
    assert folder.parent == short
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_system_is_asked_last(
    read_only: ReadOnly, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For where temporary files go; a folder that isn't there is passed over."""
    read_only("/tmp")
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / "none"))
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    assert Path(make_socket_folder()).parent == short


def test_a_path_that_is_too_long_is_passed_over(
    read_only: ReadOnly, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 107 bytes with the socket it is taken, with one more it isn't."""
    read_only("/tmp")
    longest = short / ("x" * (107 - len("/gradwire-xxxxxxxx/s") - len(str(short)) - 1))
    longer = longest.with_name(longest.name + "x")
    longest.mkdir()
    longer.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(longer))
    monkeypatch.setenv("TMPDIR", str(longest))
    folder = make_socket_folder()
    assert os.path.dirname(folder) == str(longest)
    assert len(f"{folder}/s") == 107


def test_where_there_is_none_the_error_says_what_to_set(
    read_only: ReadOnly, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was tried, with the reason of each."""
    long = short / ("x" * 100)
    long.mkdir()
    read_only("/tmp", short)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    with pytest.raises(UnavailableError) as caught:
        make_socket_folder()
    text = str(caught.value)
    assert "Set `TMPDIR` to a folder that this user can write to, with a path of at most 87" in text
    assert "/tmp: Read-only file system; " in text
    assert f"{long} has {len(str(long))} bytes, and 87 are allowed; {short}: Read-only" in text
