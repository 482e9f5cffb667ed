"""NumPy's ufuncs on traced operands, with the dtypes that NumPy gives them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.numpy_api.registry import pinned
from gradwire.opset import BY_UFUNC, OpDef
from gradwire.tensors import Dtype, is_inexact
from gradwire.trace.traced import UFUNCS, Traced, refuse
from gradwire.trace.values import (
    apply,
    as_operand,
    as_traced,
    convert,
    dtype_of,
    is_weak,
    promote,
    resolve,
)

_LN2 = math.log(2)

_COMPARISONS = frozenset({"equal", "greater", "greater_equal", "less", "less_equal", "not_equal"})
"""Ops of two operands that NumPy compares in their common dtype, or by their values."""

_ROUNDINGS = frozenset({"ceil", "floor", "round", "trunc"})
"""Ops that leave integers as they are in NumPy."""

_TESTS = {"isfinite": True, "isinf": False, "isnan": False}
"""Predicates of floating numbers, and their result for others."""

_ON_BOOL: dict[np.ufunc, str] = {
    np.add: "logical_or",
    np.maximum: "logical_or",
    np.multiply: "logical_and",
    np.minimum: "logical_and",
}
"""What arithmetic of truth values is in NumPy."""

_OPERATORS = frozenset(
    {
        np.absolute,
        np.add,
        np.floor_divide,
        np.multiply,
        np.negative,
        np.positive,
        np.power,
        np.remainder,
        np.subtract,
        np.true_divide,
    }
)
"""Ufuncs behind Python's operators: of Python numbers they make Python numbers again."""

MAX_INTEGER_POWER = 1024
"""Past it x ** n is a power of real exponent."""


def by_loop(
    ufunc: np.ufunc, operands: tuple[Any, ...], op: str, *, dtype: Any = None, **attrs: Any
) -> Traced:
    """Adds the op for a ufunc, its operands converted as NumPy's loop takes them.

    Args:
        ufunc: The ufunc.
        operands: Its operands.
        op: The op's name.
        dtype: That of the result, which tells the loop.
        **attrs: The op's attributes.
    """
    values = [as_operand(value) for value in operands]
    empty = (None,) * ufunc.nout
    loop: dict[str, Any] = {}
    if dtype is not None:
        loop["signature"] = (*[None] * ufunc.nin, *[np.dtype(dtype)] * ufunc.nout)
    dtypes = resolve(lambda *d: ufunc.resolve_dtypes((*d, *empty), **loop)[: ufunc.nin], values)
    converted = [convert(v, d) for v, d in zip(values, dtypes, strict=True)]
    if dtypes[0].kind == "b" and ufunc in _ON_BOOL:
        op = _ON_BOOL[ufunc]
    if dtypes[0].kind == "b" and ufunc is np.absolute:
        return Traced(converted[0].ref)
    result = apply(op, *converted, **attrs)
    weak = ufunc in _OPERATORS and all(is_weak(value) for value in values)
    return Traced(result.ref, weak=True) if weak else result


def truth(value: Any) -> Traced:
    """Returns whether each element is not zero."""
    traced = as_traced(value)
    if traced.dtype.kind == "b":
        return traced
    return apply("not_equal", traced, convert(0, traced.dtype))


def _direct(ufunc: np.ufunc, op: str) -> Callable[..., Traced]:
    return lambda *operands, dtype=None: by_loop(ufunc, operands, op, dtype=dtype)


def _handler(ufunc: np.ufunc, op: OpDef) -> Callable[..., Traced]:
    """Returns what a ufunc that is one op does with traced operands."""
    if op.name in _COMPARISONS:
        return _comparison(op.name)
    if op.name in _ROUNDINGS:
        return _rounding(ufunc, op.name)
    if op.name in _TESTS:
        return _test(op.name, _TESTS[op.name])
    return _logical(op.name) if op.dtypes == "bool" else _direct(ufunc, op.name)


def _comparison(op: str) -> Callable[..., Traced]:
    def compared(x: Any, y: Any) -> Traced:
        try:
            operands = promote([x, y])
        except OverflowError:
            # A Python number lies outside of what the other's dtype holds.
            if any(dtype_of(value) == np.uint64 for value in (x, y)):
                raise
            operands = [convert(value, np.dtype(np.int64)) for value in (x, y)]
        return apply(op, *operands)

    return compared


def _rounding(ufunc: np.ufunc, op: str) -> Callable[..., Traced]:
    def rounded(x: Any) -> Traced:
        operand = as_operand(x)
        (dtype,) = resolve(lambda d: ufunc.resolve_dtypes((d, None))[:1], [operand])
        value = convert(operand, dtype)
        return apply(op, value) if is_inexact(dtype) else Traced(value.ref)

    return rounded


def _test(op: str, if_exact: bool) -> Callable[..., Traced]:
    def tested(x: Any) -> Traced:
        traced = as_traced(x)
        if is_inexact(traced.dtype):
            return apply(op, traced)
        return apply("broadcast_to", convert(if_exact, np.dtype(bool)), shape=traced.shape)

    return tested


def _logical(op: str) -> Callable[..., Traced]:
    return lambda *operands: apply(op, *(truth(value) for value in operands))


def power(x: Any, y: Any) -> Traced:
    """``x ** y``; a fixed whole exponent is a product, as in NumPy."""
    x, y = as_operand(x), as_operand(y)
    if isinstance(x, Traced) and type(y) in (int, float) and float(y).is_integer():
        (dtype, _) = resolve(lambda *d: np.power.resolve_dtypes((*d, None))[:2], [x, y])
        if dtype.kind in "iu" and y < 0:
            refuse("integers to negative integer powers are not allowed; write float(n)")
        if dtype.kind in "iu":
            dtype.type(y)  # raises OverflowError as in NumPy
        if abs(y) <= MAX_INTEGER_POWER:
            result = apply("integer_pow", convert(x, dtype), exponent=int(y))
            return Traced(result.ref, weak=x.weak)
    return by_loop(np.power, (x, y), "pow")


def matmul(x: Any, y: Any, **kwargs: Any) -> Traced:
    """``x @ y`` with NumPy's dtypes."""
    return by_loop(np.matmul, (x, y), "matmul", **kwargs)


def _divmod(x: Any, y: Any) -> tuple[Any, Any]:
    return np.floor_divide(x, y), np.remainder(x, y)


def _lifted(ufunc: np.ufunc, operands: tuple[Any, ...]) -> list[Traced]:
    """Returns the operands of a ufunc that is a composition here, in the dtypes of its loop.

    Lifted before anything is computed of them, they are not rounded in a shorter dtype.
    """
    values = [as_operand(value) for value in operands]
    dtypes = resolve(lambda *d: ufunc.resolve_dtypes((*d, None))[: ufunc.nin], values)
    return [convert(value, dtype) for value, dtype in zip(values, dtypes, strict=True)]


def _in_single(dtype: Dtype) -> Dtype:
    """Returns the dtype in which NumPy computes: it rounds half precision only at the end."""
    return pinned(np.float32) if dtype.itemsize == 2 else dtype


def _angle_scale(ufunc: np.ufunc, factor: float) -> Callable[[Any], Any]:
    def scaled(x: Any) -> Any:
        (value,) = _lifted(ufunc, (x,))
        wide = _in_single(value.dtype)
        return convert(np.multiply(convert(value, wide), factor), value.dtype)

    return scaled


def _logaddexp2(x: Any, y: Any) -> Any:
    first, second = _lifted(np.logaddexp2, (x, y))
    wide = _in_single(first.dtype)
    natural = [np.multiply(convert(value, wide), _LN2) for value in (first, second)]
    return convert(np.logaddexp(*natural) / _LN2, first.dtype)


def _extremum_of_numbers(ufunc: np.ufunc, chosen: np.ufunc) -> Callable[[Any, Any], Any]:
    """The larger or smaller one, or that which is not NaN."""

    def extremum(x: Any, y: Any) -> Any:
        x, y = _lifted(ufunc, (x, y))
        if not is_inexact(x.dtype):
            return chosen(x, y)
        return np.where(np.isnan(x), y, np.where(np.isnan(y), x, chosen(x, y)))

    return extremum


def _positive(x: Any) -> Traced:
    (value,) = _lifted(np.positive, (x,))
    return Traced(value.ref, weak=is_weak(as_operand(x)))


def _signbit(x: Any) -> Any:
    (value,) = _lifted(np.signbit, (x,))
    return np.copysign(1.0, value) < 0


for _name, _op in BY_UFUNC.items():
    _library, _, _word = _name.rpartition(".")
    if _library == "numpy":
        UFUNCS[getattr(np, _word)] = _handler(getattr(np, _word), _op)
UFUNCS.update(
    {
        np.deg2rad: _angle_scale(np.deg2rad, np.pi / 180),
        np.degrees: _angle_scale(np.degrees, 180 / np.pi),
        np.divmod: _divmod,
        np.fabs: lambda x: by_loop(np.fabs, (x,), "abs"),
        np.float_power: lambda x, y: by_loop(np.float_power, (x, y), "pow"),
        np.fmax: _extremum_of_numbers(np.fmax, np.maximum),
        np.fmin: _extremum_of_numbers(np.fmin, np.minimum),
        np.logaddexp2: _logaddexp2,
        np.matmul: matmul,
        np.positive: _positive,
        np.power: power,
        np.rad2deg: _angle_scale(np.rad2deg, 180 / np.pi),
        np.radians: _angle_scale(np.radians, np.pi / 180),
        np.signbit: _signbit,
        np.vecdot: lambda x, y, **kwargs: by_loop(np.vecdot, (x, y), "vecdot", **kwargs),
    }
)
