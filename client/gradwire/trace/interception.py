"""Functions of libraries that don't dispatch on every traced operand.

`np.take` dispatches on the table and not on the index, and some of SciPy's functions
convert their operands to arrays without dispatching. While a function is being traced,
the attributes of their modules are replaced by functions that look for traced operands
first and pass all other calls on, those of other threads included. A name that was bound
before, as by ``from scipy.special import softmax``, is the library's own and refuses,
with a message that says what to write.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gradwire.trace.traced import Traced

INTERCEPTED: dict[tuple[str, str], Callable[..., Any]] = {}
"""What to call for traced operands, by the names of a module and of a function in it."""

_lock = threading.Lock()
_running = 0
_originals: dict[tuple[str, str], Any] = {}


@contextmanager
def intercepting() -> Iterator[None]:
    """Lets the functions of ``INTERCEPTED`` take traced operands."""
    global _running
    with _lock:
        if not _running:
            _install()
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running:
                _restore()


def _install() -> None:
    for (module, name), handler in INTERCEPTED.items():
        # A library that isn't imported isn't called.
        original = getattr(sys.modules.get(module), name, None)
        if original is not None:
            _originals[module, name] = original
            setattr(sys.modules[module], name, _looking(original, handler))


def _restore() -> None:
    for module, name in _originals:
        setattr(sys.modules[module], name, _originals[module, name])
    _originals.clear()


@functools.cache
def _looking(original: Callable[..., Any], handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, Traced) for value in (*args, *kwargs.values())):
            return handler(*args, **kwargs)
        return original(*args, **kwargs)

    return call
