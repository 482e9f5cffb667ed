"""Where in the caller's own code a node was made."""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import FrameType

import numpy as np

_OURS = (str(Path(__file__).parent.parent), str(Path(np.__file__).parent))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the caller's code."""

    file: str
    number: int

    def __str__(self) -> str:
        text = linecache.getline(self.file, self.number).strip()
        return f"{self.file}:{self.number}" + (f": {text}" if text else "")


def caller_line() -> Line:
    """Returns the innermost line on the stack that is neither ours nor NumPy's nor SciPy's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_library(frame):
        frame = frame.f_back
    return Line(frame.f_code.co_filename, frame.f_lineno)


def library_function() -> str:
    """Returns what the caller's line has called of NumPy or SciPy, such as ``scipy.linalg.expm``.

    Nothing, where that is no function with a name: a subscript, or ``np.asarray``.
    """
    called = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_library(frame):
        called = _offered(frame) or called
        frame = frame.f_back
    return called


def _offered(frame: FrameType) -> str:
    """Returns the name under which NumPy or SciPy offer a frame's function; or nothing."""
    module, name = ".".join(_module(frame)), frame.f_code.co_name
    if not module.startswith(("numpy", "scipy")):
        return ""
    for variable in frame.f_code.co_freevars:
        wrapped = frame.f_locals.get(variable)
        origin = getattr(wrapped, "__module__", None)
        if callable(wrapped) and str(origin).startswith("scipy"):
            # A decorator's wrapper, for which SciPy may have no frame of its own yet.
            module, name = str(origin), getattr(wrapped, "__name__", "")
    if not name.isidentifier() or name.startswith("_"):
        return ""
    # Below a private module nothing is public: numpy._core.fromnumeric.take is numpy.take.
    parts = takewhile(lambda part: part and not part.startswith("_"), module.split("."))
    return ".".join([*(part for part in parts if part != "lib"), name])


def _is_library(frame: FrameType) -> bool:
    # SciPy need not be installed, so its folder isn't known.
    return frame.f_code.co_filename.startswith(_OURS) or _module(frame)[0] == "scipy"


def _module(frame: FrameType) -> list[str]:
    return [*str(frame.f_globals.get("__name__", "")).split("."), ""]
