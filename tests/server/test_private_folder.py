from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gradwire_server.process.private_folder import NotPrivateError, PrivateFolder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder of ours with one file."""
    folder = PrivateFolder(tmp_path / "folder")
    assert not folder.make()
    folder.write("file", b"content")
    return tmp_path / "folder"


def _plant_link(file: Path) -> None:
    file.symlink_to(file.parent.parent / "elsewhere")


def _open_to_others(file: Path) -> None:
    file.write_bytes(b"planted")
    file.chmod(0o620)


@pytest.mark.parametrize(
    "plant", [_plant_link, _open_to_others, os.mkfifo, Path.mkdir], ids=lambda plant: plant.__name__
)
def test_what_may_be_anothers_is_not_read(path: Path, plant: Callable[[Path], object]) -> None:
    """Links are not followed, nor pipes waited for."""
    (path.parent / "elsewhere").write_bytes(b"planted")
    (path / "file").unlink()
    plant(path / "file")
    with pytest.raises(OSError, match=r"file|links"):
        PrivateFolder(path).read("file")


def test_a_link_is_replaced_and_not_written_through(path: Path) -> None:
    """So is a pipe; a link that is removed takes nothing with it."""
    elsewhere = path.parent / "elsewhere"
    elsewhere.write_bytes(b"kept")
    folder = PrivateFolder(path)
    for name, plant in (("link", lambda file: file.symlink_to(elsewhere)), ("pipe", os.mkfifo)):
        plant(path / name)
        assert [found for found, _ in folder.files()] == ["file"]
        folder.write(name, b"new")
        assert folder.read(name) == b"new"
        folder.remove(name)
    (path / "link").symlink_to(elsewhere)
    folder.remove("link")
    assert elsewhere.read_bytes() == b"kept"
    assert os.listdir(path) == ["file"]


@pytest.mark.parametrize(
    "use",
    [
        PrivateFolder.make,
        PrivateFolder.files,
        lambda folder: folder.read("file"),
        lambda folder: folder.write("file", b"new"),
        lambda folder: folder.remove("file"),
    ],
    ids=["make", "files", "read", "write", "remove"],
)
def test_a_folder_that_is_a_link_is_not_used(
    path: Path, use: Callable[[PrivateFolder], object]
) -> None:
    """Whenever it took the folder's place."""
    moved = path.rename(path.with_name("moved"))
    path.symlink_to(moved)
    with pytest.raises(NotPrivateError, match=f"{path} is a link"):
        use(PrivateFolder(path))
    assert (moved / "file").read_bytes() == b"content"
    assert os.listdir(moved) == ["file"]


def test_what_can_not_be_written_leaves_nothing(path: Path) -> None:
    """A name that is taken by a folder, for instance."""
    (path / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        PrivateFolder(path).write("taken", b"content")
    assert sorted(os.listdir(path)) == ["file", "taken"]
