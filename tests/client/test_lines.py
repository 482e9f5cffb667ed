"""The line of the caller's that an error shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradwire as gw
from gradwire.trace.lines import caller_line
from tracing import trace


def test_an_error_shows_the_line_itself() -> None:
    """Its text stands behind its number."""
    with pytest.raises(gw.TraceError, match=r"test_lines\.py:\d+: return np\.unique\(x\)"):
        trace(_unique)


def _unique(x: Any) -> Any:
    return np.unique(x)


def test_a_caller_outside_gets_its_own_line() -> None:
    """The line is the innermost one that is neither ours nor NumPy's."""
    line = caller_line()
    assert line.file == __file__
    assert str(line).endswith("line = caller_line()")
