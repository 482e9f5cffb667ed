"""NumPy's answers to the expressions of `numpy_cases`, in dtypes and with numbers of their own.

An expression that NumPy refuses must be refused; one that it answers may be
refused only by an error that says so, for each such expression is on a list.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

from gradwire.errors import GradwireError
from gradwire.trees import flatten
from numpy_cases import CASES, Case, samples
from outside.in_process import run_all

DTYPES = ("int8", "uint16", "float16", "float64", "complex64")

GROUP = 50
"""How many expressions are compiled as one program."""

EXPRESSIONS = list(dict.fromkeys(case.expression for case in CASES))

LOOSE = {case.expression: case.loose for case in CASES}


@cache
def _others(dtype: str) -> dict[str, Any]:
    """Returns other arguments of the same names: small whole numbers, with zeros and ties."""
    rng = np.random.default_rng(23)
    found = {}
    for name, value in samples(dtype).items():
        if not isinstance(value, np.ndarray) or value.dtype != np.dtype(dtype) or name in KEPT:
            found[name] = value
            continue
        whole = rng.integers(0 if value.dtype.kind == "u" else -3, 4, value.shape)
        found[name] = (whole + 1j * rng.integers(-2, 3, value.shape)).real.astype(dtype)
        if value.dtype.kind == "c":
            found[name] = (whole + 1j * rng.integers(-2, 3, value.shape)).astype(dtype)
    return found


KEPT = frozenset({"pos", "r", "s", "tall", "rise", "nan", "f32", "f64", "n8"})
"""Arguments that are what they are for a reason: positive, regular, rising."""


def _expected(case: Case, arguments: dict[str, Any]) -> Any:
    """NumPy's answer; None where it has none."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [np.asarray(x) for x in flatten(case.function()(**arguments))[0]]
    except Exception:  # noqa: BLE001  # a refusal, in whatever form
        return None


def _difference(case: Case, got: list[Any], want: list[Any]) -> str:
    if len(got) != len(want):
        return f"{len(got)} results, NumPy's {len(want)}"
    for ours, theirs in zip(map(np.asarray, got), want, strict=True):
        if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            return f"{ours.dtype}{ours.shape}, NumPy's {theirs.dtype}{theirs.shape}"
        if theirs.dtype.kind not in "fc":
            if not np.array_equal(ours, theirs):
                return f"{ours.tolist()}, NumPy's {theirs.tolist()}"[:300]
            continue
        finite = np.abs(theirs[np.isfinite(theirs)])
        scale = max(float(finite.max(initial=0)), 1.0)
        limit = float(np.finfo(theirs.dtype).eps) * 32 * LOOSE[case.expression]
        with np.errstate(all="ignore"):
            if not np.allclose(ours, theirs, limit, limit * scale, equal_nan=True):
                return f"{ours.tolist()}, NumPy's {theirs.tolist()}"[:300]
    return ""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", range(-(-len(EXPRESSIONS) // GROUP)))
def test_expressions(number: int, dtype: str) -> None:
    """Value, dtype and shape are NumPy's, refusals as well."""
    runs, problems = [], []
    for expression in EXPRESSIONS[number * GROUP : (number + 1) * GROUP]:
        case = Case(expression, dtype)
        arguments = {name: _others(dtype)[name] for name in case.arguments}
        runs.append((case, arguments, _expected(case, arguments)))
    answered = []
    for case, arguments, want in runs:
        call = (case.function(), list(arguments.values()))
        if want is not None:
            answered.append((case, call, want))
            continue
        try:
            run_all([call])
            problems.append(f"{case.id}: NumPy refuses")
        except Exception:  # noqa: BLE001  # as it should
            pass
    try:
        found = run_all([call for _, call, _ in answered])
        done = [(case, got, want) for (case, _, want), got in zip(answered, found, strict=True)]
    except Exception:  # noqa: BLE001  # one by one, to see which it was
        done = []
        for case, call, want in answered:
            try:
                done.append((case, run_all([call])[0], want))
            except (GradwireError, TypeError, ValueError, IndexError) as error:
                problems.append(f"{case.id}: refused: {type(error).__name__}: {str(error)[:120]}")
    for case, got, want in done:
        note = _difference(case, got, want)
        if note:
            problems.append(f"{case.id}: {note}")
    unlisted = [p for p in problems if not any(p.startswith(f"{x} [") for x in ())]
    assert not unlisted, "\n".join(unlisted)
