"""NumPy's ufuncs on traced arrays of every dtype, at the ends of each dtype's range."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest

from gradwire.errors import InvalidProgramError
from gradwire.trace.traced import UFUNCS
from outside.in_process import run_all

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)

MIXED = (
    *(("bool", "float32"), ("int8", "uint8"), ("int64", "uint64"), ("int32", "float32")),
    *(("uint8", "float16"), ("float32", "float64"), ("float64", "complex64")),
)

ULPS = {"f": 64, "c": 512}
"""How far a number may be from NumPy's, in units of the last place; a complex one by magnitude."""


@cache
def ends(dtype: str) -> Any:
    """Numbers of a dtype: usual ones, zeros of both signs, the largest, the smallest, NaN.

    Complex ones are finite: at infinities and on cuts the libraries of C, which
    NumPy asks, differ among themselves; what the Array API standard says of
    those is tested apart.
    """
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return np.array([False, True])
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return np.unique(np.array([info.min, info.max, info.max // 2, 0, 1, 2, 3, 7, 100], kind))
    if kind.kind == "f":
        info = np.finfo(kind)
        positive = [0.0, 0.5, 1.0, 1.5, 2.0, 3.25, 10.0, float(info.max), float(info.tiny), np.inf]
        return np.array([*positive, *(-x for x in positive), np.nan], kind)
    parts = (0.5, -1.5, 3.25, -0.125, 10.0, 0.0)
    numbers = [complex(x, y) for x, y in itertools.product(parts, parts[:-1])]
    return np.array([*numbers, complex(np.nan, np.nan)], kind)


_ORDER = ("fmax", "fmin", "greater", "greater_equal", "less", "less_equal", "maximum", "minimum")
NOT_OFFERED = {**dict.fromkeys(_ORDER, "c"), "reciprocal": "biu", "rint": "c"}
"""Kinds of numbers that a ufunc is not offered for: complex ones have no order here."""

OFFERED_TOO = frozenset({"deg2rad", "degrees", "rad2deg", "radians"})
"""Of complex numbers, which NumPy refuses."""


def _operands(ufunc: np.ufunc, dtypes: tuple[str, ...]) -> list[Any]:
    if ufunc.nin == 1:
        return [ends(dtypes[0])]
    x, y = ends(dtypes[0]), ends(dtypes[-1])
    if "c" in x.dtype.kind + y.dtype.kind:
        x, y = (v[np.isfinite(v) & (np.abs(v) < 1e10)][::3] for v in (x, y))
    if ufunc.__name__ in ("power", "float_power") and y.dtype.kind == "i":
        y = y[y >= 0]  # NumPy refuses others by their value
    if dtypes == ("bool", "float32"):
        # XLA chooses between a number and 0: no sign comes of that, and no NaN.
        y = y[np.isfinite(y) & ~np.signbit(y)]
    return list(np.meshgrid(x, y, indexing="ij"))


def _expected(ufunc: np.ufunc, operands: list[Any]) -> list[Any] | None:
    """NumPy's answers; None where it has none for the dtypes."""
    try:
        with np.errstate(all="ignore"):
            found = ufunc(*operands)
    except TypeError:
        return None
    found = found if isinstance(found, tuple) else (found,)
    return None if found[0].dtype == object else [np.asarray(x) for x in found]


UFUNCS_BY_NAME = {
    ufunc.__name__: ufunc for ufunc in UFUNCS if isinstance(ufunc, np.ufunc) and not ufunc.signature
}
"""Those of elements; the products are among the expressions."""


ANY_ZERO = frozenset({"fmax", "fmin", "maximum", "minimum", "nextafter"})
"""Of 0.0 and -0.0 NumPy takes the one or the other, by dtype and the place in the array."""


def _difference(got: Any, want: Any, any_zero: bool) -> str:
    if got.dtype != want.dtype:
        return f"dtype {got.dtype}, NumPy's {want.dtype}"
    if got.shape != want.shape:
        return f"shape {got.shape}, NumPy's {want.shape}"
    with np.errstate(all="ignore"):
        if want.dtype.kind not in "fc":
            same = got == want
        else:
            parts = [(got, want)]
            if want.dtype.kind == "c":
                parts = [(got.real, want.real), (got.imag, want.imag)]
            size = np.abs(want)
            anyhow = any_zero or want.dtype.kind == "c"
            same = np.ones(want.shape, bool)
            for ours, theirs in parts:
                signed = np.signbit(ours) == np.signbit(theirs)
                exact = (ours == theirs) & (signed | anyhow)
                nan = np.isnan(ours) & np.isnan(theirs)
                scale = np.where(np.isfinite(size), size, np.abs(theirs))
                eps = np.finfo(theirs.dtype).eps * ULPS[want.dtype.kind]
                close = np.abs(ours - theirs) <= eps * scale + np.finfo(theirs.dtype).tiny
                zero = (ours == 0) & (theirs == 0)
                same &= exact | nan | (close & (~zero | anyhow))
    wrong = np.argwhere(~same)
    return f"{len(wrong)} of {same.size}, first at {wrong[0].tolist()}" if len(wrong) else ""


@pytest.mark.parametrize("name", sorted(UFUNCS_BY_NAME))
def test_ufunc_of_every_dtype(name: str) -> None:
    """Value, sign of zero, dtype and shape are NumPy's in each dtype; NumPy's refusals too."""
    ufunc = UFUNCS_BY_NAME[name]
    pairs = [(d,) * ufunc.nin for d in DTYPES] + list(MIXED if ufunc.nin == 2 else ())
    runs, refused, problems = [], [], []
    for dtypes in pairs:
        operands = _operands(ufunc, dtypes)
        want = _expected(ufunc, operands)
        (refused if want is None else runs).append((dtypes, operands, want))
    done = []
    try:
        answers = run_all([(ufunc, operands) for _, operands, _ in runs])
        done = list(zip(runs, answers, strict=True))
    except Exception:  # noqa: BLE001  # one by one, to see which it was
        for run in runs:
            try:
                done.append((run, run_all([(ufunc, run[1])])[0]))
            except InvalidProgramError as error:
                if not set(NOT_OFFERED.get(name, "")) & {np.dtype(d).kind for d in run[0]}:
                    problems.append(f"{run[0]}: {str(error)[:120]}")
            except Exception as error:  # noqa: BLE001  # whatever it is, it is reported
                problems.append(f"{run[0]}: {type(error).__name__}: {str(error)[:120]}")
    for (dtypes, operands, want), got in done:
        for ours, theirs in zip(got, want, strict=True):
            note = _difference(np.asarray(ours), theirs, name in ANY_ZERO)
            if note:
                at = tuple(np.argwhere(_unequal(np.asarray(ours), theirs))[:1].ravel())
                shown = [x[at] for x in operands] if "first" in note else ""
                here = (np.asarray(ours)[at], theirs[at]) if "first" in note else ""
                problems.append(f"{dtypes}: {note}: {name}{shown} = {here}")
    for dtypes, operands, _ in refused:
        if name in OFFERED_TOO and "complex" in dtypes[0]:
            continue
        try:
            run_all([(ufunc, operands)])
            problems.append(f"{dtypes}: NumPy refuses")
        except Exception:  # noqa: BLE001  # as it should
            pass
    assert not problems, "\n".join([name, *problems])


def _unequal(got: Any, want: Any) -> Any:
    if want.dtype.kind not in "fc":
        return got != want
    with np.errstate(all="ignore"):
        equal = np.isclose(got, want, 1e-3 if want.itemsize < 8 else 1e-9, 0, equal_nan=True)
        other = (got == 0) & (want == 0) & (np.signbit(got.real) != np.signbit(want.real))
        return ~equal | (other & (want.dtype.kind == "f"))
