"""Executables on disk, so that a restarted server need not compile again.

It maps keys to bytes, whatever these mean. A user who can write to the directory
can run code in the server, so it must belong to the server's user alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gradwire_server.config.machine import default_cache_dir, own_folder
from gradwire_server.config.settings import AUTO, OFF, Settings
from gradwire_server.start_error import StartError

_log = logging.getLogger(__name__)

_MAGIC = b"gradwire executable 1\n"
_DIGEST_BYTES = 32
_LENGTH_BYTES = 8
_TEMPORARY = ".writing-"
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
        may have written meanwhile are not read.

        Raises:
            StoreError: it can't be made, or belongs to another user.
        """
        self._directory = directory
        self._max_bytes = max_bytes
        self.num_bytes = 0
        self.failed_writes = 0
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = directory.stat(follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                raise StoreError(
                    f"`cache_dir` must hold directories of user {os.getuid()} alone; "
                    f"got {directory} of user {status.st_uid}"
                )
            if status.st_mode & 0o077:
                _log.warning("others could access %s; their permissions are removed", directory)
                directory.chmod(0o700)
        except OSError as error:
            raise StoreError(f"`cache_dir` can't be made: {error}") from error
        self._remove_leftovers()

    def free_bytes(self) -> int:
        """Returns the free space on the directory's file system; 0 if unknown."""
        try:
            return shutil.disk_usage(self._directory).free
        except OSError:
            return 0

    def read(self, key: bytes) -> bytes | None:
        """Returns the value written under the key, or None if it is missing or damaged."""
        path = self._path(key)
        if _is_left(self._mark(key)):
            _log.warning("a process has ended while it loaded %s; it is removed", path)
            self.remove(key)
            _unlink(self._mark(key))
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(file.fileno())
                if status.st_uid != os.getuid() or status.st_mode & 0o022:
                    _log.warning("%s is not this user's alone and is not read", path)
                    return None
                content = file.read()
                os.utime(file.fileno())  # the oldest are removed first
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("%s can't be read: %s", path, error)
            return None
        value = _unpack(content, key)
        if value is None:
            _log.warning("%s is damaged or holds something else; it is removed", path)
            self.remove(key)
        return value

    def write(self, key: bytes, value: bytes) -> None:
        """Writes a value; does nothing if it exceeds the bound or the disk is full."""
        content = _pack(key, value)
        if len(content) > self._max_bytes:
            return
        path = self._path(key)
        temporary = None
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._directory)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except OSError as error:
            _log.warning("%s can't be written: %s", path, error)
            self.failed_writes += 1
            if temporary is not None:
                _unlink(Path(temporary))
            return
        self._trim(path)

    def remove(self, key: bytes) -> None:
        """Removes the key."""
        _unlink(self._path(key))

    @contextlib.contextmanager
    def loading(self, key: bytes) -> Iterator[None]:
        """Marks that this process loads the value of the key, for the time of the block.

        Where the process ends in it, the mark stays without the lock of its owner, and the
        value is not read again: the next process would end, too.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # such as where nothing can be written
                descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._directory)
                stack.callback(os.close, descriptor)
                stack.callback(_unlink, Path(temporary))
                stack.callback(_unlink, self._mark(key))
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                os.replace(temporary, self._mark(key))
            yield

    def _path(self, key: bytes) -> Path:
        return self._directory / hashlib.sha256(key).hexdigest()

    def _mark(self, key: bytes) -> Path:
        return self._path(key).with_suffix(".loading")

    def _trim(self, newest: Path) -> None:
        """Removes the files used longest ago until the rest fit the bound."""
        files = self._files()
        total = sum(status.st_size for _, status in files)
        for path, status in sorted(files, key=lambda item: item[1].st_mtime_ns):
            if total <= self._max_bytes:
                break
            if path != newest:
                _unlink(path)
                total -= status.st_size
        self.num_bytes = total

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for entry in os.scandir(self._directory):
            with contextlib.suppress(OSError):  # another server may have removed it
                if entry.is_file(follow_symlinks=False):
                    found.append((Path(entry.path), entry.stat(follow_symlinks=False)))
        return found

    def _remove_leftovers(self) -> None:
        for path, status in self._files():
            if path.name.startswith(_TEMPORARY) and time.time() - status.st_mtime > _STALE_SECONDS:
                _unlink(path)
            else:
                self.num_bytes += status.st_size


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


def _is_left(mark: Path) -> bool:
    """Says whether a mark is there that no process holds."""
    try:
        descriptor = os.open(mark, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its owner removes it before it lets go.
        return os.path.samestat(os.fstat(descriptor), mark.stat(follow_symlinks=False))
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
