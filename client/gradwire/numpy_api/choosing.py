"""NumPy functions that choose between elements, round them or take their parts."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradwire.numpy_api.registry import implements, refuse_options, strong
from gradwire.numpy_api.ufuncs import truth
from gradwire.opset.rules import real_part
from gradwire.tensors import is_complex, is_inexact
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import (
    apply,
    as_operand,
    as_traced,
    common_dtype,
    convert,
    dtype_of,
    is_weak,
    promote,
)


@implements("where")
def where(condition: Any, x: Any = None, y: Any = None, /) -> Traced:
    """``np.where`` with three arguments."""
    if x is None or y is None:
        refuse(
            "np.where(condition) has no fixed shape; write np.where(condition, x, y), "
            "or work with the condition itself"
        )
    return apply("where", truth(condition), *promote(_wrapped([x, y])))


def _wrapped(values: Sequence[Any]) -> list[Any]:
    """Returns operands, Python's integers wrapped around where the common dtype is too short.

    So does ``np.where``, where arithmetic raises ``OverflowError``.
    """
    operands = [as_operand(value) for value in values]
    if all(type(value) is not int for value in operands):
        return operands
    dtype = common_dtype(operands)
    if dtype.kind not in "iu" or all(is_weak(value) for value in operands):
        return operands
    return [np.asarray(v).astype(dtype)[()] if type(v) is int else v for v in operands]


@implements("select")
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Traced:
    """``np.select``: the first choice whose condition holds."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError("list of cases must be same length as list of conditions, and not empty")
    *choices, result = promote([*map(strong, choicelist), default])
    for condition, choice in reversed(list(zip(condlist, choices, strict=True))):
        result = where(condition, choice, result)
    return result


@implements("clip")
def clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: Any = None,
    *,
    min: Any = None,
    max: Any = None,
    **options: Any,
) -> Any:
    """``np.clip``."""
    refuse_options("clip", out=out, **options)
    low = a_min if min is None else min
    high = a_max if max is None else max
    low, high = _within(a, low, least=True), _within(a, high, least=False)
    if low is None and high is None:
        return strong(a)
    if low is None:
        return np.minimum(a, high)
    if high is None:
        return np.maximum(a, low)
    x, low, high = promote([a, low, high])
    if x.dtype.kind == "b":
        return np.minimum(np.maximum(x, low), high)
    return apply("clip", x, low, high)


def _within(a: Any, bound: Any, *, least: bool) -> Any:
    """Returns a bound, or None for a Python integer that no value of the array's dtype passes."""
    dtype = dtype_of(as_operand(a))
    if type(bound) is not int or dtype.kind not in "iu":
        return bound
    limits = np.iinfo(dtype)
    return None if (bound < limits.min if least else bound > limits.max) else bound


@implements("round", "around")
def round_(a: Any, decimals: Any = 0, out: Any = None) -> Any:
    """``np.round``: ties go to the even neighbour."""
    refuse_options("round", out=out)
    x, places = strong(a), operator.index(decimals)
    if is_complex(x.dtype):
        return _from_parts(round_(np.real(x), places), round_(np.imag(x), places), x)
    if not is_inexact(x.dtype):
        if x.dtype.kind == "b" or places < 0:
            refuse(f"np.round of {x.dtype} can't be traced with decimals={places}; write x // n")
        return x
    if not places:
        return np.rint(x)
    scale = 10.0 ** abs(places)
    return np.rint(x * scale) / scale if places > 0 else np.rint(x / scale) * scale


def _from_parts(real: Any, imag: Any, like: Traced) -> Any:
    # real + 1j * imag would make NaN of an infinite part.
    return apply(
        "complex", convert(real, real_part(like.dtype)), convert(imag, real_part(like.dtype))
    )


@implements("fix")
def fix(x: Any, out: Any = None) -> Any:
    """``np.fix``."""
    refuse_options("fix", out=out)
    return np.trunc(x)


@implements("real")
def real(val: Any) -> Traced:
    """``np.real``."""
    x = as_traced(val)
    return apply("real", x) if is_complex(x.dtype) else x


@implements("imag")
def imag(val: Any) -> Traced:
    """``np.imag``: zeros for real arrays."""
    x = as_traced(val)
    if is_complex(x.dtype):
        return apply("imag", x)
    return apply("full", convert(0, x.dtype), shape=x.shape)


def conjugate(x: Traced) -> Any:
    """``x.conj()``: unlike ``np.conj`` it leaves what isn't complex as it is."""
    return np.conjugate(x) if is_complex(x.dtype) else x


@implements("angle")
def angle(z: Any, deg: bool = False) -> Any:
    """``np.angle``."""
    x = strong(z)
    imaginary = imag(x) if is_complex(x.dtype) else 0
    result = np.arctan2(imaginary, real(x))
    return result * (180 / np.pi) if deg else result


@implements("nan_to_num")
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """``np.nan_to_num``; always a copy."""
    value = strong(x)
    if not is_inexact(value.dtype):
        return value
    if is_complex(value.dtype):
        parts = [nan_to_num(part(value), copy, nan, posinf, neginf) for part in (real, imag)]
        return _from_parts(parts[0], parts[1], value)
    limits = np.finfo(value.dtype)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    infinite = np.isinf(value)
    result = where(np.isnan(value), convert(nan, value.dtype), value)
    result = where(np.logical_and(infinite, value > 0), convert(high, value.dtype), result)
    return where(np.logical_and(infinite, value < 0), convert(low, value.dtype), result)
