"""Where in the caller's own code a node was made."""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass
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


def scipy_function() -> str:
    """Returns what the caller's line has called of SciPy, such as ``linalg.expm``; or nothing."""
    called = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_library(frame):
        module = _module(frame)
        if module[0] == "scipy":
            called = f"{module[1]}.{frame.f_code.co_name}"
        frame = frame.f_back
    return called


def _is_library(frame: FrameType) -> bool:
    # SciPy need not be there, so its place isn't known.
    return frame.f_code.co_filename.startswith(_OURS) or _module(frame)[0] == "scipy"


def _module(frame: FrameType) -> list[str]:
    return [*str(frame.f_globals.get("__name__", "")).split("."), ""]
