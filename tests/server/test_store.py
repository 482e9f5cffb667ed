from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gradwire_server.runtime.store import Store, StoreError

MANY = 2**30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory that isn't there yet."""
    return tmp_path / "a" / "cache"


def _file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_what_is_written_is_read(folder: Path) -> None:
    """By another store of the same directory, too; under its key and no other."""
    Store(folder, MANY).write(b"key", b"value")
    store = Store(folder, MANY)
    assert store.read(b"key") == b"value"
    assert store.read(b"other") is None
    store.write(b"key", b"")
    assert store.read(b"key") == b""
    store.remove(b"key")
    assert store.read(b"key") is None


def test_nobody_else_may_look(folder: Path) -> None:
    """The directory and each file are this user's alone, whatever the umask."""
    before = os.umask(0)
    try:
        Store(folder, MANY).write(b"key", b"value")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert _file(folder).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o2770])
def test_a_directory_that_was_open_to_others_is_closed(
    folder: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """As Kubernetes mounts it; a file in it that others could write is not read."""
    store = Store(folder, MANY)
    store.write(b"kept", b"value")
    kept = _file(folder)
    store.write(b"opened", b"value")
    next(path for path in folder.iterdir() if path != kept).chmod(0o660)
    folder.chmod(mode)
    store = Store(folder, MANY)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert "others could access" in caplog.text
    assert (store.read(b"kept"), store.read(b"opened")) == (b"value", None)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(folder: Path) -> None:
    """A user who can write to it can run code in the server."""
    folder.mkdir(parents=True, mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(StoreError, match=f"`cache_dir` .*{folder} .* is of user 12345"):
        Store(folder, MANY)


def test_a_directory_that_is_a_link_is_refused(folder: Path) -> None:
    """Nor is one followed that takes the directory's place later: nothing is lost behind it."""
    folder.parent.mkdir()
    other = folder.parent / "other"
    other.mkdir(mode=0o700)
    (other / "mine").write_bytes(b"x" * 1000)
    folder.symlink_to(other)
    with pytest.raises(StoreError, match=f"`cache_dir` .*{folder} is a link"):
        Store(folder, MANY)
    folder.unlink()
    store = Store(folder, 500)
    store.write(b"key", b"value")
    folder.rename(folder.parent / "moved")
    folder.symlink_to(other)
    assert store.read(b"key") is None
    store.write(b"key", b"value")
    store.remove(b"key")
    assert store.failed_writes == 1
    assert [path.name for path in other.iterdir()] == ["mine"]


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    """With a message that names the setting."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    path.chmod(0o600)
    for wrong in (path, path / "below"):
        with pytest.raises(StoreError, match="`cache_dir`"):
            Store(wrong, MANY)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(position: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[position] ^= 1
        path.write_bytes(content)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _flip(0),
        _flip(30),
        _flip(55),
        _flip(-1),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"x" * 1000),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
    ],
    ids=["cut", "magic", "digest", "length", "value", "empty", "foreign", "longer"],
)
def test_a_damaged_file_is_ignored_and_removed(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    """Its bytes are code: none of them may differ."""
    store = Store(folder, MANY)
    store.write(b"key", b"value")
    damage(_file(folder))
    assert store.read(b"key") is None
    assert list(folder.iterdir()) == []


def test_the_whole_key_is_compared(folder: Path) -> None:
    """A file under the right name that holds another key is not what was asked for."""
    store = Store(folder, MANY)
    store.write(b"key", b"value")
    name = _file(folder).name
    store.remove(b"key")
    store.write(b"other", b"other value")
    _file(folder).rename(folder / name)
    assert store.read(b"key") is None


def test_a_file_that_others_can_write_is_not_read(folder: Path) -> None:
    """Nor one that is a link."""
    store = Store(folder, MANY)
    store.write(b"key", b"value")
    path = _file(folder)
    path.chmod(0o620)
    assert store.read(b"key") is None
    path.chmod(0o600)
    assert store.read(b"key") == b"value"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")
    assert store.read(b"key") is None


def test_the_bytes_are_bounded(folder: Path) -> None:
    """At the bound all stay; one byte less, and what was used longest ago is removed."""
    probe = Store(folder, MANY)
    probe.write(b"0", b"x" * 100)
    size = _file(folder).stat().st_size
    for bound, left in ((3 * size, "012"), (3 * size - 1, "02")):
        for path in folder.iterdir():
            path.unlink()
        store = Store(folder, bound)
        for number, name in enumerate((b"0", b"1")):
            store.write(name, b"x" * 100)
            path = next(p for p in folder.iterdir() if p.stat().st_mtime > 1000)
            os.utime(path, (number, number))
        assert store.read(b"0") is not None  # and is the newest from now on
        store.write(b"2", b"x" * 100)
        assert "".join(n for n in "012" if store.read(n.encode()) is not None) == left


def test_what_does_not_fit_is_not_kept(folder: Path) -> None:
    """And nothing else is removed for it."""
    Store(folder, 200).write(b"small", b"x")
    Store(folder, 200).write(b"large", b"x" * 200)
    assert Store(folder, 200).read(b"small") == b"x"
    assert Store(folder, 200).read(b"large") is None


def test_only_stale_leftovers_are_removed(folder: Path) -> None:
    """Another server may be writing at this moment."""
    Store(folder, MANY)
    stale, fresh = folder / ".writing-a", folder / ".writing-b"
    stale.write_bytes(b"x")
    fresh.write_bytes(b"x")
    os.utime(stale, (0, 0))
    Store(folder, MANY)
    assert list(folder.iterdir()) == [fresh]


def test_a_directory_that_vanishes_stops_nothing(folder: Path) -> None:
    """Nothing is kept, and nothing is raised."""
    store = Store(folder, MANY)
    folder.rmdir()
    store.write(b"key", b"value")
    assert store.read(b"key") is None


def test_readers_never_see_half_a_file(folder: Path) -> None:
    """While writers replace it all the time."""
    store, stop = Store(folder, MANY), threading.Event()
    values = {bytes([n]) * 100_000 for n in range(4)}

    def write(value: bytes) -> None:
        while not stop.is_set():
            store.write(b"key", value)

    threads = [threading.Thread(target=write, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    end, seen = time.monotonic() + 0.5, 0
    while time.monotonic() < end or not seen:
        value = store.read(b"key")
        if value is not None:
            assert value in values
            seen += 1
    stop.set()
    for thread in threads:
        thread.join()


def test_its_size_is_known(folder: Path) -> None:
    """From what is there when it is opened, and after each write; temporary files included."""
    Store(folder, MANY).write(b"key", b"value")
    store = Store(folder, MANY)
    assert store.num_bytes == _file(folder).stat().st_size
    store.write(b"other", b"x" * 1000)
    assert store.num_bytes == sum(file.stat().st_size for file in folder.iterdir())
    assert store.free_bytes() > 0


def test_failed_writes_are_counted(folder: Path) -> None:
    """As on a full disk; what doesn't fit the bound is no failure."""
    store = Store(folder, 10)
    store.write(b"key", b"too large")
    assert store.failed_writes == 0
    store = Store(folder, MANY)
    folder.rmdir()
    store.write(b"key", b"value")
    assert store.failed_writes == 1
    assert store.free_bytes() == 0


LOADER = """
import os, sys
from pathlib import Path
from gradwire_server.runtime.store import Store
with Store(Path(sys.argv[1]), 2**30).loading(b"key"):
    if sys.argv[2] == "waits":
        print(flush=True)
        sys.stdin.readline()
    else:
        os._exit(1)
"""


def test_what_ended_its_loader_is_not_read_again(tmp_path: Path) -> None:
    """And is removed; what is written after that is read."""
    store = Store(tmp_path, 2**30)
    store.write(b"key", b"value")
    store.write(b"other", b"value")
    with store.loading(b"key"):
        pass
    assert store.read(b"key") == b"value"
    subprocess.run([sys.executable, "-c", LOADER, str(tmp_path), "dies"], check=False, timeout=60)
    assert store.read(b"key") is None
    assert len(list(tmp_path.iterdir())) == 1
    assert store.read(b"other") == b"value"
    store.write(b"key", b"newer")
    assert store.read(b"key") == b"newer"


def test_what_others_load_is_read(tmp_path: Path) -> None:
    """By as many at the same time as want it; afterwards no mark is left."""
    store = Store(tmp_path, 2**30)
    store.write(b"key", b"value")
    words = [sys.executable, "-c", LOADER, str(tmp_path), "waits"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    loaders = [subprocess.Popen(words, **pipes) for _ in range(2)]
    for loader in loaders:
        assert loader.stdout is not None
        assert loader.stdout.readline()
    assert len(list(tmp_path.iterdir())) == 2
    assert store.read(b"key") == b"value"
    with store.loading(b"key"):
        assert store.read(b"key") == b"value"
    for loader in loaders:
        loader.communicate(b"\n", timeout=60)
    assert store.read(b"key") == b"value"
    assert len(list(tmp_path.iterdir())) == 1


def test_where_nothing_can_be_marked_it_is_loaded_all_the_same(tmp_path: Path) -> None:
    """As on a disk that is full."""
    store = Store(tmp_path / "folder", 2**30)
    (tmp_path / "folder").rmdir()
    with store.loading(b"key"):
        pass
    assert list(tmp_path.iterdir()) == []
