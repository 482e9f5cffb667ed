"""Which connections have been entered with `with`. It must not depend on their type."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import Generic, TypeVar

from gradwire.transport import forks

T = TypeVar("T")


class Scope(Generic[T]):
    """The nested entries of one context, then those of the whole process.

    A thread has a context of its own, without its creator's entries; it falls
    back on what was entered last, by any thread, and is still open.
    """

    def __init__(self, name: str) -> None:
        self._context: ContextVar[tuple[T, ...]] = ContextVar(name, default=())
        self._process: list[T] = []
        self._lock = threading.Lock()
        forks.register(self)

    def after_fork(self) -> None:
        """Replaces the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def enter(self, thing: T) -> None:
        """Makes ``thing`` the innermost."""
        self._context.set((*self._context.get(), thing))
        with self._lock:
            self._process.append(thing)

    def exit(self, thing: T) -> bool:
        """Undoes one entry of ``thing``; returns whether it was the last.

        The context may be another than that of the entry: where a generator is
        closed, for example.
        """
        self._context.set(_without_last(self._context.get(), thing))
        with self._lock:
            self._process = list(_without_last(tuple(self._process), thing))
            return not any(entry is thing for entry in self._process)

    def forget(self, thing: T) -> None:
        """Ends all entries of ``thing``."""
        with self._lock:
            self._process = [entry for entry in self._process if entry is not thing]

    def innermost(self) -> T | None:
        """Returns the entry that holds here."""
        with self._lock:
            for entry in reversed(self._context.get()):
                # Another context may have ended the entry.
                if any(entry is other for other in self._process):
                    return entry
            return self._process[-1] if self._process else None


def _without_last(entries: tuple[T, ...], thing: T) -> tuple[T, ...]:
    for position in reversed(range(len(entries))):
        if entries[position] is thing:
            return entries[:position] + entries[position + 1 :]
    return entries
