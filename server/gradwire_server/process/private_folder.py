"""A folder whose files only this user may have written. Standard library only.

What others planted in it, or put in its place, is neither followed nor waited for: a
link could lead to any file of this user, and a pipe is never read to its end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = ".writing-"
"""How the names of files begin that are being written."""

_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class NotPrivateError(OSError):
    """A folder or a file is not this user's alone; the message says what it is."""


class PrivateFolder:
    """A folder that belongs to this user, and its files.

    All methods raise OSError where the folder or a file can't be used, ``NotPrivateError``
    included, and are safe for several threads and processes.
    """

    def __init__(self, path: Path) -> None:
        """Does nothing on disk yet."""
        self._path = path

    def make(self) -> bool:
        """Makes the folder if need be, and takes away the permissions of others.

        Returns:
            Whether others had any.
        """
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._opened() as folder:
            open_to_others = bool(os.fstat(folder).st_mode & 0o077)
            if open_to_others:
                os.fchmod(folder, 0o700)
        return open_to_others

    def read(self, name: str, *, touch: bool = False) -> bytes:
        """Returns the content of a file; with ``touch`` it counts as new."""
        with self._opened() as folder:
            descriptor = os.open(name, os.O_RDONLY | _OPEN, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise NotPrivateError(f"{self._path / name} is no file")
            if status.st_uid != os.getuid() or status.st_mode & 0o022:
                raise NotPrivateError(f"{self._path / name} is not this user's alone")
            if touch:
                os.utime(descriptor)
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def write(self, name: str, content: bytes) -> None:
        """Writes a file completely or not at all; what had its name is replaced."""
        draft = f"{TEMPORARY}{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN
        with self._opened() as folder:
            try:
                with os.fdopen(os.open(draft, flags, 0o600, dir_fd=folder), "wb") as file:
                    file.write(content)
                os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(draft, dir_fd=folder)
                raise

    def remove(self, name: str) -> None:
        """Removes a file, or a link, but not what it leads to."""
        with self._opened() as folder:
            os.unlink(name, dir_fd=folder)

    def files(self) -> list[tuple[str, os.stat_result]]:
        """Returns the files by name; links are none."""
        found = []
        with self._opened() as folder, os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another process may have removed it
                    status = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        found.append((entry.name, status))
        return found

    @contextlib.contextmanager
    def locked(self, seconds: float) -> Iterator[None]:
        """Keeps out others that ask for the same, for the time of the block.

        One that has it for so many seconds hangs: then the block begins all the same.
        """
        with self._opened() as folder:
            end = time.monotonic() + seconds
            while not _try_to_lock(folder) and time.monotonic() < end:
                time.sleep(0.01)
            yield

    @contextlib.contextmanager
    def marked(self, name: str) -> Iterator[None]:
        """Puts a mark there for the time of the block; it is left if the process ends in it."""
        draft = f"{TEMPORARY}{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(self._opened())
            descriptor = os.open(draft, flags, 0o600, dir_fd=folder)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(draft, dir_fd=folder)
                raise
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=folder)

    def is_left(self, name: str) -> bool:
        """Says whether a mark is there whose process has ended."""
        try:
            with self._opened() as folder:
                descriptor = os.open(name, os.O_RDONLY | _OPEN, dir_fd=folder)
                try:
                    # A process that goes on removes its mark before it unlocks it.
                    return _try_to_lock(descriptor) and os.path.samestat(
                        os.fstat(descriptor), os.stat(name, dir_fd=folder, follow_symlinks=False)
                    )
                finally:
                    os.close(descriptor)
        except OSError:
            return False

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Opens the folder: what is then done in it is not affected by what takes its place."""
        if self._path.is_symlink():  # the system would say: not a directory
            raise NotPrivateError(f"{self._path} is a link")
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            owner = os.fstat(folder).st_uid
            if owner != os.getuid():
                raise NotPrivateError(
                    f"{self._path} must be of user {os.getuid()}, and is of user {owner}"
                )
            yield folder
        finally:
            os.close(folder)


def _try_to_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
