"""Where in the caller's own code a node was made."""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass
from pathlib import Path

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
    """Returns the innermost line on the stack that is neither ours nor NumPy's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return Line(frame.f_code.co_filename, frame.f_lineno)
