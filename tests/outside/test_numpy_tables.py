"""Elementary functions against the table of hard arguments that NumPy is tested with."""

from __future__ import annotations

import csv
from importlib import resources
from typing import Any

import numpy as np
import pytest

from outside.in_process import run_all

FUNCTIONS = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "cbrt",
    "cos",
    "cosh",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "sin",
    "sinh",
    "tan",
    "tanh",
]

DTYPES = {"float32": (np.float32, np.uint32), "float64": (np.float64, np.uint64)}

MORE_ULPS = {"arctanh": 160, "log1p": 64}
"""What is allowed beyond the error that NumPy allows itself: 4, if not named."""


def _rows(name: str, dtype: str) -> tuple[Any, Any, Any]:
    """Returns arguments, values and errors in units of the last place."""
    folder = resources.files("numpy._core.tests.data")
    text = folder.joinpath(f"umath-validation-set-{name}.csv").read_text()
    lines = [line for line in text.splitlines() if line.startswith("np.")]
    rows = [row for row in csv.reader(lines) if row[0] == f"np.{dtype}"]
    kind, bits = DTYPES[dtype]
    numbers = np.array([[int(x, 16) for x in row[1:3]] for row in rows], bits).reshape(-1, 2)
    x, y = (np.ascontiguousarray(numbers[:, column]).view(kind) for column in (0, 1))
    return x, y, np.array([int(row[3]) for row in rows])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_hard_arguments(name: str, dtype: str) -> None:
    """Each value is within a few units of the last place of NumPy's table.

    XLA takes a subnormal number for 0, and gives 0 for one.
    """
    x, want, ulps = _rows(name, dtype)
    function = getattr(np, name)
    (got,) = run_all([(function, [x])])[0]
    assert got.dtype == want.dtype
    with np.errstate(all="ignore"):
        error = np.abs(got.astype(float) - want.astype(float)) / np.spacing(np.abs(want)).astype(
            float
        )
        least = 2 * np.finfo(want.dtype).tiny
        flushed = (np.abs(x) <= least) & (got == function(x.dtype.type(0)))
        flushed |= (np.abs(want) <= least) & (got == 0)
    same = (got == want) | (np.isnan(got) & np.isnan(want)) | flushed
    wrong = ~same & ~(error <= ulps + MORE_ULPS.get(name, 4))
    some = [f"{name}({x[i]!r}) = {got[i]!r}, table {want[i]!r}" for i in np.flatnonzero(wrong)[:5]]
    assert not wrong.any(), f"{wrong.sum()} of {len(x)}: " + "; ".join(some)
