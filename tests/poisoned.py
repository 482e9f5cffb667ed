"""Executables on disk that crash the process which loads them, whatever their checksums say."""

from __future__ import annotations

import ctypes
import pickle
from pathlib import Path
from typing import Any

from gradwire_server.artifact import pack, unpack
from gradwire_server.runtime import store


class _Killer:
    def __reduce__(self) -> tuple[Any, ...]:
        return ctypes.string_at, (0,)  # SIGSEGV, at once and in this thread


def poison(file: Path) -> None:
    """Replaces an executable by such a one."""
    rest = file.read_bytes()[len(store._MAGIC) + store._DIGEST_BYTES :]
    start = store._LENGTH_BYTES + int.from_bytes(rest[: store._LENGTH_BYTES], "little")
    cost, _ = unpack(rest[start:])
    killer = pack(cost, pickle.dumps(_Killer()))
    store.Store(file.parent, 2**40).write(rest[store._LENGTH_BYTES : start], killer)
