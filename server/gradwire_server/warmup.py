"""Programs in a directory, from which a server starts warm: written by one, prepared by the next.

A record is a PrepareRequest: the caller's program with the constants in it,
and never an input. It must not import gRPC.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from google.protobuf.message import DecodeError

from gradwire.errors import GradwireError
from gradwire.v1 import service_pb2 as pb
from gradwire_server.config.settings import OFF, Settings
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.program.wire_items import check_items
from gradwire_server.rpc import messages as requests
from gradwire_server.serving import batching
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.engine import Engine, Preparation
from gradwire_server.start_error import StartError

_log = logging.getLogger(__name__)

_SUFFIX = ".pb"
_TEMPORARY = ".writing-"
_PROGRESS_SECONDS = 5.0


class WarmError(StartError):
    """A directory can't be used; the message names the setting."""


class ProgramRecorder:
    """Writes each program that was prepared, once, with its batch sizes."""

    def __init__(self, settings: Settings) -> None:
        """Opens ``record_dir``, and makes it if need be. Files in it are kept.

        Raises:
            WarmError: it can't be made.
        """
        self._settings = settings
        self._lock = threading.Lock()
        self._full = False
        try:
            self._directory = Path(settings.record_dir).expanduser()
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lengths = {path.name: path.stat().st_size for path in _list(self._directory)}
        except (OSError, RuntimeError) as error:
            raise WarmError(f"`record_dir` can't be used: {error}") from error

    def add(self, program: bytes, precision: str, bucket: int) -> None:
        """Records that a program is ready, unless a bound is reached or the disk is full.

        Args:
            program: Its bytes.
            precision: One of ``gradwire.ir.precision.PRECISIONS``.
            bucket: The rows that it was prepared for, or ``NO_BATCH``.
        """
        wanted = Preparation(program, precision, () if bucket == NO_BATCH else (bucket,))
        digest = hashlib.sha256(_write(replace(wanted, batch_sizes=()))).hexdigest()
        path = self._directory / f"{digest}{_SUFFIX}"
        with self._lock:
            known = _read_if_there(path, self._settings)
            if known is not None:
                sizes = tuple(sorted({*known.batch_sizes, *wanted.batch_sizes}))
                if sizes == known.batch_sizes:
                    return
                wanted = replace(wanted, batch_sizes=sizes)
            content = _write(wanted)
            if not self._fits(path.name, len(content)):
                return
            try:
                _replace(path, content)
            except OSError as error:
                _log.warning("%s can't be written: %s", path, error)
                return
            self._lengths[path.name] = len(content)

    def _fits(self, name: str, length: int) -> bool:
        lengths = {**self._lengths, name: length}
        fits = (
            len(lengths) <= self._settings.max_recorded_programs
            and sum(lengths.values()) <= self._settings.max_recorded_bytes
        )
        if not fits and not self._full:
            self._full = True
            _log.warning("`record_dir` is full; the programs beyond are not recorded")
        return fits


def open_recorder(settings: Settings) -> ProgramRecorder | None:
    """Opens the folder in which programs are recorded; returns None if it is off.

    Raises:
        WarmError: it can't be used.
    """
    return None if settings.record_dir == OFF else ProgramRecorder(settings)


def read_records(settings: Settings) -> list[Preparation]:
    """Reads the programs in ``warm_dir``; there are none if it is off.

    A file that can't be read is left out, with a warning.

    Raises:
        WarmError: it isn't a directory that can be read.
    """
    if settings.warm_dir == OFF:
        return []
    try:
        paths = _list(Path(settings.warm_dir).expanduser())
    except (OSError, RuntimeError) as error:
        raise WarmError(f"`warm_dir` can't be read: {error}") from error
    found = []
    left = settings.max_recorded_bytes
    for number, path in enumerate(paths):
        if number == settings.max_recorded_programs or left <= 0:
            _log.warning("%d programs are more than are read", len(paths))
            break
        try:
            content = _read(path, min(left, settings.max_message_bytes))
            found.append(_parse(content, settings))
            left -= len(content)
        except (OSError, GradwireError, DecodeError) as error:
            _log.warning("%s is left out: %s", path, error)
    return found


def prepare_records(
    engine: Engine,
    records: Sequence[Preparation],
    settings: Settings,
    wanted: Callable[[], bool],
) -> int:
    """Prepares programs until all are ready, the time is over or ``wanted`` returns False.

    A compile that has begun by then goes on.

    Args:
        engine: Prepares them.
        records: The programs. One that fails is left out, with a warning.
        settings: How long this may take, and how many at the same time.
        wanted: Says whether to go on.

    Returns:
        The number of programs that are ready.
    """
    if not records:
        return 0
    start = shown = time.monotonic()
    deadline = Deadline(settings.max_warm_seconds, wanted)
    ready = 0
    with ThreadPoolExecutor(settings.compile_workers, thread_name_prefix="warm") as pool:
        jobs = [pool.submit(_prepare, engine, record, deadline) for record in records]
        for job in as_completed(jobs):
            ready += job.result()
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                _log.info("%d of %d recorded programs are ready", ready, len(records))
    _log.info(
        "%d of %d recorded programs are ready after %.1f s",
        ready, len(records), time.monotonic() - start,
    )  # fmt: skip
    return ready


def _prepare(engine: Engine, wanted: Preparation, deadline: Deadline) -> bool:
    # One size at a time: a record may name more than one request may.
    buckets = {batching.bucket_of(size) for size in wanted.batch_sizes if size}
    each: list[tuple[int, ...]] = [(bucket,) for bucket in sorted(buckets)]
    for sizes in each or [()]:
        if deadline.remaining() <= 0 or not deadline.alive():
            return False
        try:
            engine.prepare(replace(wanted, batch_sizes=sizes), deadline, CallRecord("Prepare"))
        except GradwireError as error:
            _log.warning("a recorded program is left out: %s", error)
            return False
        except Exception:  # noqa: BLE001 - whatever it is, the server can run without the program
            _log.exception("a recorded program is left out")
            return False
    return True


def _list(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.name.endswith(_SUFFIX))


def _read(path: Path, at_most: int) -> bytes:
    # Links are followed: Kubernetes mounts the files of a ConfigMap as links.
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a file")
    with path.open("rb") as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise OSError(f"it has {status.st_size} bytes, and {at_most} are allowed")
    return content


def _parse(content: bytes, settings: Settings) -> Preparation:
    """Reads one record, as strictly as the same request over the network.

    Raises:
        GradwireError: it isn't a valid request.
        DecodeError: it isn't one at all.
    """
    check_items(content, pb.PrepareRequest, "max_request_items", settings.max_request_items)
    request = pb.PrepareRequest.FromString(content)
    request.ClearField("context")
    requests.check_request(request, 0)
    return replace(requests.read_preparation(request), max_wait=None)


def _read_if_there(path: Path, settings: Settings) -> Preparation | None:
    try:
        return _parse(_read(path, settings.max_message_bytes), settings)
    except (OSError, GradwireError, DecodeError):
        return None  # or damaged: it is written again


def _write(wanted: Preparation) -> bytes:
    return requests.write_preparation(wanted).SerializeToString(deterministic=True)


def _replace(path: Path, content: bytes) -> None:
    """Writes a file completely or not at all.

    Raises:
        OSError: it can't be written.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
