"""Cases of the elementwise family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance.harness import (
    ANY,
    BITWISE,
    BOOL,
    COMPLEX,
    FLOATS,
    FLOATS32,
    INEXACT,
    INTEGERS,
    NUMERIC,
    ORDERED,
    REAL,
    Case,
    Rng,
    distinct,
    dtype_of,
    literal,
    nonzero,
    normal,
    positive,
    uniform,
)
from gradwire.tensors import Array, Dtype

SHAPE = (2, 3)
DOUBLE = ("float32", "float64")


def unary(
    op: str,
    reference: Callable[..., Any],
    dtypes: Sequence[str],
    low: float = -1,
    high: float = 1,
    **options: Any,
) -> Case:
    """A case with one operand, uniform between two bounds."""

    def make(rng: Rng, dtype: Dtype) -> list[Array]:
        return [uniform(rng, dtype, SHAPE, low, high)]

    return Case(op, make, reference, tuple(dtypes), **options)


def binary(
    op: str,
    reference: Callable[..., Any],
    dtypes: Sequence[str],
    make_y: Callable[[Rng, Dtype, tuple[int, ...]], Array] = normal,
    make_x: Callable[[Rng, Dtype, tuple[int, ...]], Array] = normal,
    **options: Any,
) -> Case:
    """A case with two operands that broadcast."""

    def make(rng: Rng, dtype: Dtype) -> list[Array]:
        return [make_x(rng, dtype, SHAPE), make_y(rng, dtype, (3,))]

    return Case(op, make, reference, tuple(dtypes), **options)


def apart(rng: Rng, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    """Real numbers that lie 0.15 to 0.3 above multiples of 0.25: never near ``distinct``."""
    x = distinct(rng, dtype, shape)
    return x if dtype.kind in "biu" else np.asarray(x + dtype.type(0.1))


def units(rng: Rng, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    """Numbers near ±1, ±2 ...: an integer and 0.2 to 0.8."""
    if dtype.kind in "biu":
        return normal(rng, dtype, shape)
    return np.asarray(rng.integers(-4, 4, shape) + rng.uniform(0.2, 0.8, shape)).astype(dtype)


SPECIAL = np.array([-np.inf, -2.5, -1, -0.0, 0.0, 0.5, 1, 3, np.inf, np.nan])


def special(op: str, reference: Callable[..., Any], arity: int = 1) -> Case:
    """The values at infinities, zeros, NaN and round numbers, in all combinations."""

    def make(rng: Rng, dtype: Dtype) -> list[Array]:
        del rng
        if arity == 1:
            return [literal(dtype, SPECIAL)]
        return [literal(dtype, SPECIAL)[:, None], literal(dtype, SPECIAL)]

    return Case(op, make, reference, DOUBLE, name="special", wrt=())


def _shift(rng: Rng, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    return rng.integers(0, 7, shape).astype(dtype)


def _sign(x: Array) -> Array:
    return np.where(x == 0, 0, x / np.where(x == 0, 1, np.abs(x))).astype(x.dtype)


def _between(rng: Rng, dtype: Dtype) -> list[Array]:
    low, high = (-1, 1) if dtype.kind not in "biu" else (2, 6)
    x = distinct(rng, dtype, SHAPE)
    return [x, np.full((3,), low).astype(dtype), np.full((), high).astype(dtype)]


def _select(rng: Rng, dtype: Dtype) -> list[Array]:
    condition = normal(rng, np.dtype(bool), (3,))
    return [condition, normal(rng, dtype, SHAPE), normal(rng, dtype, (2, 1))]


def _truncate(x: Array, exponent_bits: int, mantissa_bits: int) -> Array:
    """Rounds to nearest even, for an exponent range that is not left."""
    del exponent_bits
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(np.ldexp(mantissa, mantissa_bits + 1)), exponent - mantissa_bits - 1)


UNARY = (
    unary("abs", np.abs, NUMERIC, 0.2, 3),
    unary("abs", np.abs, ("int32", "float64"), -3, -0.2, name="negative"),
    unary("acos", np.arccos, INEXACT, -0.9, 0.9),
    unary("acosh", np.arccosh, INEXACT, 1.5, 4),
    unary("asin", np.arcsin, INEXACT, -0.9, 0.9),
    unary("asinh", np.arcsinh, INEXACT, -3, 3, complex_derivatives=False),
    unary("asinh", np.arcsinh, COMPLEX, 0.2, 2, name="quadrant"),
    unary("atan", np.arctan, INEXACT, -0.8, 0.8),
    unary("atanh", np.arctanh, INEXACT, -0.8, 0.8),
    unary("bitwise_invert", np.bitwise_invert, BITWISE, -9, 9),
    unary("cbrt", np.cbrt, FLOATS, 0.4, 3),
    unary("cbrt", np.cbrt, FLOATS, -3, -0.4, name="negative"),
    unary("ceil", np.ceil, FLOATS, 1.1, 1.9),
    unary("conj", np.conj, NUMERIC, -3, 3),
    unary("cos", np.cos, INEXACT, -3, 3),
    unary("cosh", np.cosh, INEXACT, -2, 2),
    unary("exp", np.exp, INEXACT, -2, 2),
    unary("exp2", lambda x: 2**x, INEXACT, -2, 2),
    unary("expm1", np.expm1, INEXACT, -1, 1),
    unary("expm1", np.expm1, FLOATS, 1e-4, 1e-3, name="small", relative=True),
    unary("floor", np.floor, FLOATS, -1.9, -1.1),
    unary("imag", np.imag, COMPLEX),
    unary("isfinite", np.isfinite, NUMERIC),
    unary("isinf", np.isinf, NUMERIC),
    unary("isnan", np.isnan, NUMERIC),
    unary("log", np.log, INEXACT, 0.4, 3),
    unary("log10", np.log10, INEXACT, 0.4, 3),
    unary("log1p", np.log1p, INEXACT, -0.5, 3),
    unary("log1p", np.log1p, FLOATS, 1e-4, 1e-3, name="small", relative=True, step=1e-5),
    unary("log2", lambda x: np.log(x) / np.log(2), INEXACT, 0.4, 3),
    unary("logical_not", np.logical_not, BOOL),
    unary("negative", np.negative, NUMERIC, -3, 3),
    unary("real", np.real, COMPLEX),
    unary("reciprocal", lambda x: 1 / x, INEXACT, 0.4, 3),
    unary("round", np.round, FLOATS, 1.6, 2.4),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), INEXACT, 0.4, 3),
    unary("sign", _sign, NUMERIC, 0.2, 3),
    unary("sign", np.sign, ("int32", "float64"), -3, -0.2, name="negative"),
    unary("sin", np.sin, INEXACT, -3, 3),
    unary("sinh", np.sinh, INEXACT, -2, 2),
    unary("sqrt", np.sqrt, INEXACT, 0.4, 3),
    unary("square", np.square, NUMERIC, -3, 3),
    unary("tan", np.tan, INEXACT, -1, 1),
    unary("tanh", np.tanh, INEXACT, -1, 1),
    unary("trunc", np.trunc, FLOATS, -1.9, -1.1),
    *(
        special(op, getattr(np, name))
        for op, name in {
            "abs": "abs",
            "cbrt": "cbrt",
            "ceil": "ceil",
            "exp": "exp",
            "floor": "floor",
            "isfinite": "isfinite",
            "isinf": "isinf",
            "isnan": "isnan",
            "log": "log",
            "log1p": "log1p",
            "round": "round",
            "sign": "sign",
            "sqrt": "sqrt",
            "tanh": "tanh",
            "trunc": "trunc",
        }.items()
    ),
)

WITH_ATTRIBUTES = (
    *(
        Case(
            "astype",
            lambda r, d: [uniform(r, d, SHAPE, 0.4, 3)],
            lambda x, dtype: (x.real if x.dtype.kind == "c" != dtype.kind else x).astype(dtype),
            ANY,
            attrs={"dtype": dtype_of(target)},
            name=f"to_{target}",
            native=True,
            ulps=0,
            wrt=None if target in ("float64", "complex128") else (),
        )
        for target in ANY
    ),
    *(
        Case(
            "bitcast",
            lambda r, d: [normal(r, d, SHAPE)],
            lambda x, dtype: x.view(dtype),
            tuple(name for name in REAL if dtype_of(name).itemsize == bits // 8),
            # Other sizes than the target's are refused as other dtypes are.
            attrs=lambda d: {"dtype": np.dtype(f"int{8 * d.itemsize}" if d.itemsize < 9 else "i8")},
            name=f"{bits}",
            native=True,
            ulps=0,
        )
        for bits in (8, 16, 32, 64)
    ),
    Case(
        "bitcast",
        lambda r, d: [normal(r, d, SHAPE)],
        lambda x, dtype: x.view(dtype),
        ("int64", "uint64"),
        attrs={"dtype": np.dtype(np.float64)},
        name="to_float",
        native=True,
        ulps=0,
    ),
    *(
        Case(
            "integer_pow",
            lambda r, d: [nonzero(r, d, SHAPE)],
            lambda x, exponent: x**exponent,
            NUMERIC if exponent >= 0 else INEXACT,
            attrs={"exponent": exponent},
            name=str(exponent),
        )
        for exponent in (0, 1, 3, -2)
    ),
    Case(
        "reduce_precision",
        lambda r, d: [normal(r, d, SHAPE)],
        _truncate,
        FLOATS,
        attrs={"exponent_bits": 5, "mantissa_bits": 3},
        ulps=0,
        wrt=(),  # not the staircase's derivative; see test_kinks.py
    ),
)

BINARY = (
    binary("add", np.add, NUMERIC),
    binary("atan2", np.arctan2, FLOATS, positive),
    binary("bitwise_and", np.bitwise_and, BITWISE),
    binary("bitwise_left_shift", np.left_shift, INTEGERS, _shift),
    binary("bitwise_or", np.bitwise_or, BITWISE),
    binary("bitwise_right_shift", np.right_shift, INTEGERS, _shift),
    binary("bitwise_xor", np.bitwise_xor, BITWISE),
    binary("complex", lambda x, y: x + 1j * y, FLOATS32),
    binary("copysign", np.copysign, FLOATS, nonzero, nonzero),
    binary("divide", np.divide, INEXACT, positive),
    binary("equal", np.equal, ANY),
    binary("floor_divide", np.floor_divide, REAL, nonzero, units, step=1e-3),
    binary("fmod", np.fmod, REAL, lambda r, d, s: np.full(s, 3).astype(d), units),
    binary("greater", np.greater, ORDERED),
    binary("greater_equal", np.greater_equal, ORDERED),
    binary("heaviside", np.heaviside, FLOATS, normal, nonzero),
    binary("hypot", np.hypot, FLOATS, positive, positive),
    binary("less", np.less, ORDERED),
    binary("less_equal", np.less_equal, ORDERED),
    binary("logaddexp", np.logaddexp, FLOATS),
    binary("logical_and", np.logical_and, BOOL),
    binary("logical_or", np.logical_or, BOOL),
    binary("logical_xor", np.logical_xor, BOOL),
    binary("maximum", np.maximum, ORDERED, apart, distinct),
    binary("minimum", np.minimum, ORDERED, apart, distinct),
    binary("multiply", np.multiply, NUMERIC),
    binary("nextafter", np.nextafter, FLOATS, native=True, ulps=0),
    binary("not_equal", np.not_equal, ANY),
    binary("pow", np.power, NUMERIC, positive, positive),
    binary("remainder", np.remainder, REAL, lambda r, d, s: np.full(s, 3).astype(d), units),
    binary("subtract", np.subtract, NUMERIC),
    *(
        special(op, getattr(np, name), 2)
        for op, name in {
            "atan2": "arctan2",
            "copysign": "copysign",
            "divide": "divide",
            "floor_divide": "floor_divide",
            "fmod": "fmod",
            "greater": "greater",
            "heaviside": "heaviside",
            "hypot": "hypot",
            "logaddexp": "logaddexp",
            "maximum": "maximum",
            "minimum": "minimum",
            "pow": "power",
            "remainder": "remainder",
        }.items()
    ),
    *(
        Case(
            op,
            lambda r, d: [np.arange(-3, 4)[:, None].astype(d), np.arange(-2, 3).astype(d)],
            reference,
            ("int8", "int32", "int64"),
            name="signs_and_zero",
        )
        for op, reference in {
            "floor_divide": np.floor_divide,
            "fmod": np.fmod,
            "remainder": np.remainder,
        }.items()
    ),
    Case(
        "pow",
        lambda r, d: [np.arange(4)[:, None].astype(d), np.array([0, 1, 63, 64, 100, 127], d)],
        np.power,
        INTEGERS,
        name="long_exponents",
    ),
    Case(
        "bitwise_right_shift",
        lambda r, d: [np.array([-8, -1, 8]).astype(d), np.array([1, 70, 70]).astype(d)],
        np.right_shift,
        ("int32", "int64"),
        name="all_bits_out",
    ),
)

TERNARY = (
    Case("clip", _between, np.clip, REAL),
    Case("where", _select, np.where, ANY),
)

CASES = (*UNARY, *WITH_ATTRIBUTES, *BINARY, *TERNARY)
