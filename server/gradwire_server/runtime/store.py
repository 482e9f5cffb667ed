"""Executables on disk, so that a restarted server need not compile again.

It maps keys to bytes, whatever these mean. A user who can write to the directory
can run code in the server, so it must belong to the server's user alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from gradwire_server.config.machine import default_cache_dir, own_folder
from gradwire_server.config.settings import AUTO, OFF, Settings
from gradwire_server.process.private_folder import TEMPORARY, NotPrivateError, PrivateFolder
from gradwire_server.start_error import StartError

_log = logging.getLogger(__name__)

_MAGIC = b"gradwire executable 1\n"
_DIGEST_BYTES = 32
_LENGTH_BYTES = 8
_STALE_SECONDS = 3600.0


class StoreError(StartError):
    """The directory can't be used; the message says why."""


class Store:
    """A directory of files, each holding a key and its value.

    Safe for several threads, and for several servers of one user.

    Attributes:
        num_bytes: The size of all files, as it was at the last write of this server.
        failed_writes: How many values could not be written, for lack of space or permission.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        """Opens the directory, and makes it if need be.

        If other users may access it, their permissions are removed: Kubernetes may
        give a volume's folders to a group whenever it mounts it. Files that others
        may have written meanwhile are not read, and links are not followed.

        Raises:
            StoreError: it can't be made, is a link, or belongs to another user.
        """
        self._directory = directory
        self._folder = PrivateFolder(directory)
        self._max_bytes = max_bytes
        self.num_bytes = 0
        self.failed_writes = 0
        try:
            if self._folder.make():
                _log.warning("others could access %s; their permissions are removed", directory)
            self._remove_leftovers()
        except NotPrivateError as error:
            raise StoreError(
                f"`cache_dir` must hold this user's own directories: {error}"
            ) from error
        except OSError as error:
            raise StoreError(f"`cache_dir` can't be made: {error}") from error

    def free_bytes(self) -> int:
        """Returns the free space on the directory's file system; 0 if unknown."""
        try:
            return shutil.disk_usage(self._directory).free
        except OSError:
            return 0

    def read(self, key: bytes) -> bytes | None:
        """Returns the value written under the key, or None if it is missing or damaged."""
        name = _name(key)
        if self._folder.is_left(_mark(key)):
            _log.warning(
                "a process has ended while it loaded %s; it is removed", self._directory / name
            )
            self._remove(name)
            self._remove(_mark(key))
            return None
        try:
            content = self._folder.read(name, touch=True)  # the oldest are removed first
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("an executable can't be read: %s", error)
            return None
        value = _unpack(content, key)
        if value is None:
            _log.warning(
                "%s is damaged or holds something else; it is removed", self._directory / name
            )
            self.remove(key)
        return value

    def write(self, key: bytes, value: bytes) -> None:
        """Writes a value; does nothing if it exceeds the bound or the disk is full."""
        content = _pack(key, value)
        if len(content) > self._max_bytes:
            return
        name = _name(key)
        try:
            self._folder.write(name, content)
            self._trim(name)
        except OSError as error:
            _log.warning("%s can't be written: %s", self._directory / name, error)
            self.failed_writes += 1

    def remove(self, key: bytes) -> None:
        """Removes the key."""
        self._remove(_name(key))

    @contextlib.contextmanager
    def loading(self, key: bytes) -> Iterator[None]:
        """Marks that this process loads the value of the key, for the time of the block.

        Where the process ends in it, the mark is left, and the value is not read again: the
        next process would end, too.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # such as where nothing can be written
                stack.enter_context(self._folder.marked(_mark(key)))
            yield

    def _trim(self, newest: str) -> None:
        """Removes the files used longest ago until the rest fit the bound."""
        files = self._folder.files()
        total = sum(status.st_size for _, status in files)
        for name, status in sorted(files, key=lambda item: item[1].st_mtime_ns):
            if total <= self._max_bytes:
                break
            if name != newest:
                self._remove(name)
                total -= status.st_size
        self.num_bytes = total

    def _remove_leftovers(self) -> None:
        for name, status in self._folder.files():
            if name.startswith(TEMPORARY) and time.time() - status.st_mtime > _STALE_SECONDS:
                self._remove(name)
            else:
                self.num_bytes += status.st_size

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._folder.remove(name)


def open_store(settings: Settings) -> Store | None:
    """Opens the cache directory; returns None if executables are not to be kept.

    The default directory may be unusable: then a warning is logged.

    Raises:
        StoreError: a directory that was set explicitly can't be used.
    """
    if settings.cache_dir == OFF:
        return None
    try:
        return Store(_directory_of(settings), settings.max_cache_bytes)
    except StoreError as error:
        if settings.cache_dir != AUTO:
            raise
        _log.warning("compiled programs are not kept: %s", error)
        return None


def _directory_of(settings: Settings) -> Path:
    try:
        if settings.cache_dir == AUTO:
            return default_cache_dir()
        return own_folder(Path(settings.cache_dir))
    except RuntimeError as error:  # this user has no home directory
        raise StoreError(str(error)) from error


def _name(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


def _mark(key: bytes) -> str:
    return _name(key) + ".loading"


def _pack(key: bytes, value: bytes) -> bytes:
    rest = len(key).to_bytes(_LENGTH_BYTES, "little") + key + value
    return _MAGIC + hashlib.sha256(rest).digest() + rest


def _unpack(content: bytes, key: bytes) -> bytes | None:
    """Returns the value if every byte is as written and the key is the same, else None."""
    start = len(_MAGIC) + _DIGEST_BYTES
    rest = content[start:]
    if content[:start] != _MAGIC + hashlib.sha256(rest).digest():
        return None
    length = int.from_bytes(rest[:_LENGTH_BYTES], "little")
    if rest[_LENGTH_BYTES : _LENGTH_BYTES + length] != key:
        return None
    return rest[_LENGTH_BYTES + length :]
