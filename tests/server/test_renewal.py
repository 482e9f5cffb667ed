from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gradwire_server.rpc.auth import renewal
from gradwire_server.rpc.auth.renewal import Renewed


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "PERIOD_SECONDS", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("1")
    return path


def _reader(path: Path) -> Callable[[], int]:
    def read() -> int:
        try:
            return int(path.read_text())
        except OSError as error:
            raise ValueError("it is gone") from error

    return read


def test_a_file_is_read_when_it_has_changed(path: Path) -> None:
    """And not before: by its time, its size, or being another file."""
    reads: list[None] = []

    def read() -> int:
        reads.append(None)
        return _reader(path)()

    renewed = Renewed([str(path)], read)
    assert [renewed.get() for _ in range(5)] == [1] * 5
    assert len(reads) == 1
    path.write_text("22")
    assert renewed.get() == 22
    times = path.stat().st_mtime_ns
    other = path.with_name("other")
    other.write_text("33")
    os.utime(other, ns=(times, times))
    other.replace(path)
    assert renewed.get() == 33
    assert len(reads) == 3


def test_what_cannot_be_read_changes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One warning for each change; the next good version counts."""
    renewed = Renewed([str(path)], _reader(path))
    path.write_text("broken")
    assert [renewed.get() for _ in range(3)] == [1] * 3
    path.unlink()
    assert [renewed.get() for _ in range(3)] == [1] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    path.write_text("2")
    assert renewed.get() == 2


def test_a_change_while_it_is_read_is_seen(path: Path) -> None:
    """Files of different versions are never used together."""
    values = iter([lambda: path.write_text("222"), lambda: path.write_text("3333"), lambda: None])

    def read() -> int:
        value = _reader(path)()
        next(values)()
        return value

    renewed = Renewed([str(path)], read)  # reads 1, while it becomes 222
    assert renewed.get() == 1  # reads 222, while it becomes 3333
    assert renewed.get() == 3333


def test_the_first_version_must_be_good(path: Path) -> None:
    """Or the server doesn't start."""
    path.write_text("broken")
    with pytest.raises(ValueError, match="broken"):
        Renewed([str(path)], _reader(path))


def test_files_are_looked_at_once_a_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads ask."""
    monkeypatch.setattr(renewal, "PERIOD_SECONDS", 3600.0)
    renewed = Renewed([str(path)], _reader(path))
    path.write_text("22")
    assert renewed.get() == 1


def test_nobody_waits_for_another_who_reads(path: Path) -> None:
    """Threads that ask meanwhile get the old content."""
    reading, go_on = threading.Event(), threading.Event()

    def read() -> int:
        if path.read_text() != "1":
            reading.set()
            assert go_on.wait(10)
        return _reader(path)()

    renewed = Renewed([str(path)], read)
    path.write_text("22")
    thread = threading.Thread(target=renewed.get)
    thread.start()
    assert reading.wait(10)
    assert renewed.get() == 1
    go_on.set()
    thread.join()
    assert renewed.get() == 22
