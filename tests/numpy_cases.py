"""NumPy expressions with example arguments: what NumPy says of them, a traced one must give.

Needs NumPy only. An expression's free names are its arguments: arrays of the
case's dtype, and some that have a dtype of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

BOOL = ("bool",)
EXACT = ("bool", "int32", "int64", "uint8")
INTEGERS = ("int32", "int64", "uint8")
REALS = ("int32", "float32", "float64")
FLOATS = ("float32", "float64")
COMPLEX = ("complex64", "complex128")
INEXACT = (*FLOATS, *COMPLEX)
NUMBERS = ("int32", *INEXACT)
ORDERED = ("bool", "int32", "uint8", *FLOATS)
ANY = ("bool", "int32", "uint8", *INEXACT)
DOUBLE = ("float64",)
FEW = ("int32", "float32", "complex128")
SHORT = ("bool", "int8", "uint8", "int16", "float16")


@dataclass(frozen=True)
class Case:
    """One expression in some dtypes.

    Attributes:
        expression: Python, over ``np`` and the arguments.
        dtype: The dtype of those arguments that have none of their own.
        loose: How much more than rounding the values may differ.
    """

    expression: str
    dtype: str
    loose: float = 1.0

    @property
    def id(self) -> str:
        """The case's name in test reports."""
        return f"{self.expression} [{self.dtype}]"

    @property
    def arguments(self) -> dict[str, Any]:
        """The values of the free names, in order of their use."""
        code = compile(self.expression, "<case>", "eval")
        names = list(code.co_names)
        for constant in code.co_consts:  # lambdas and comprehensions
            names += getattr(constant, "co_names", ())
        known = samples(self.dtype)
        return {name: known[name] for name in names if name in known}

    def function(self) -> Callable[..., Any]:
        """The expression as a function of its arguments."""
        function: Callable[..., Any] = eval(
            f"lambda {', '.join(self.arguments)}: {self.expression}", {"np": np, "I": np.newaxis}
        )
        return function

    def expected(self) -> Any:
        """What NumPy makes of it."""
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.function()(**self.arguments)


@cache
def samples(dtype: str) -> Mapping[str, Any]:
    """Returns the arguments by name."""
    rng = np.random.default_rng(7)
    kind = np.dtype(dtype).kind

    def numbers(*shape: int) -> Any:
        if kind == "b":
            return rng.random(shape) > 0.5
        if kind in "iu":
            return rng.integers(0 if kind == "u" else -5, 6, shape).astype(dtype)
        values = rng.uniform(0.3, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
        if kind == "c":
            values = values + 1j * rng.uniform(-1.5, 1.5, shape)
        return values.astype(dtype)

    square = numbers(3, 3)
    positive = abs(numbers(3, 4)).astype(dtype)
    regular = (square + 4 * np.eye(3)).astype(dtype)
    definite = (np.conj(regular.T) @ regular + np.eye(3)).astype(dtype)
    return {
        "a": numbers(3, 4),
        "b": numbers(4),
        "c": numbers(2, 3, 4),
        "d": numbers(3, 4),
        "e": numbers(4, 2),
        "u3": numbers(3),
        "w3": numbers(3),
        "r": regular,
        "s": definite,
        "z0": numbers(),
        "one": numbers(1),
        "wide": numbers(1, 4, 1),
        "pos": positive,
        "tall": numbers(5, 3),
        "v": numbers(7),
        "rise": np.cumsum(abs(rng.uniform(0.3, 1.0, 6))).astype(dtype if kind == "f" else "d"),
        # Of their own dtypes.
        "i2": np.array([2, 0, -1]),
        "i32": np.array([[1, 2], [0, 1]], np.int32),
        "i0": np.array(1),
        "mask": np.array([[True, False, True, True]] * 3),
        "f32": np.linspace(-1, 1, 4, dtype=np.float32),
        "f64": np.linspace(-1, 1, 4),
        "n8": np.arange(-2, 2, dtype=np.int8),
        "p": 2.5,
        "n": 3,
        "f16": np.linspace(-1, 1, 4, dtype=np.float16),
        "gaps": _with_gaps(numbers(3, 4)),
        "nan": np.array([np.nan, -np.inf, np.inf, 0.5], "f" if dtype == "float32" else "d"),
    }


def _with_gaps(array: Any) -> Any:
    """Puts NaN into an array that can hold them: two of a row, a whole row, none."""
    if array.dtype.kind in "fc":
        array[0, 1:3] = array[1] = np.nan
    return array


def _cases(dtypes: tuple[str, ...], *expressions: str, loose: float = 1.0) -> Iterator[Case]:
    for expression in expressions:
        yield from (Case(expression, dtype, loose) for dtype in dtypes)


def _each(template: str, names: str) -> list[str]:
    return [template.replace("{f}", name) for name in names.split()]


OPERATORS = [
    *_cases(NUMBERS, "a + d", "a - d", "a * b", "-a", "+a", "a / (d + 7)", "a * 2", "3 - a"),
    *_cases(NUMBERS, "a == d", "a != b", "a @ e", "a ** 2", "a ** 3", "abs(a)", "a[0] @ b"),
    *_cases(REALS, "a < d", "a >= b", "a > 0", "0.5 <= a", "a // (pos + 1)", "a % (pos + 1)"),
    *_cases(INTEGERS, "a & d", "a | 3", "a ^ d", "~a", "pos << 1", "pos >> 1", "divmod(a, 3)"),
    *_cases(BOOL, "a & d", "a | d", "a ^ d", "~a", "a + d", "a * d", "a == d", "a + 1", "a * 2.0"),
    *_cases(FLOATS, "pos ** d", "2.0 ** a", "pos ** 0.5", "a ** -2", "divmod(a, 0.3)"),
    *_cases(("float32",), "a + 1", "a * 2.5", "a * p", "a + n", "f32 * f64", "a * n8", "a / 3"),
    *_cases(("int32",), "a * 2.5", "a + p", "a / n", "a * f32", "a * n8", "a + f64", "a ** 2.0"),
    *_cases(DOUBLE, "p * 2", "p + n", "n // 2", "n / 2", "-n", "p ** 2", "a * (p + 1)", "n * f32"),
    *_cases(DOUBLE, "np.sin(p) * f32", "(p * 2) * f32", "np.exp(n)", "p > 1", "n == 3"),
    *_cases(("uint8",), "a + 1", "a * n8", "a - d", "a / 2", "-a"),
    *_cases(DOUBLE, "np.float64(2.5) * a", "np.int8(2) + a", "np.ones(3) @ a", "round(z0, 1)"),
    *_cases(DOUBLE, "a ** np.inf", "pos ** np.float64(2)", "[1, 2, 3, 4] * a", "a - np.eye(3, 4)"),
    *_cases(("uint8",), "a < 300", "a == -1", "300 >= a"),
    *_cases(BOOL, "abs(a)", "np.absolute(a)"),
    *_cases(("uint8",), "np.where(mask, a, 300)", "np.where(mask, a, -1)", "np.clip(a, -5, 300)"),
    *_cases(NUMBERS, "z0 * 2", "z0 + a", "a * z0", "z0 ** 2", "one + a"),
]

UFUNCS = [
    *_cases(NUMBERS, *_each("np.{f}(a)", "sin cos sinh cosh tanh exp square negative")),
    *_cases(INEXACT, *_each("np.{f}(a)", "tan arctan expm1 sign conjugate")),
    *_cases(INEXACT, "np.arcsinh(a)", "np.reciprocal(a)", "np.exp2(a)"),
    *_cases(INEXACT, *_each("np.{f}(pos + 1)", "log log2 log10 log1p sqrt arccosh")),
    *_cases(FLOATS, *_each("np.{f}(a / 3)", "arcsin arccos arctanh cbrt")),
    *_cases(ORDERED, *_each("np.{f}(a)", "floor ceil trunc rint")),
    *_cases(ORDERED, "np.sin(a)", "np.sqrt(pos)", "np.maximum(a, d)", "np.minimum(a, b)"),
    *_cases(REALS, "np.absolute(a)", "np.fabs(a)", "np.sign(a)", "np.signbit(a)"),
    *_cases(
        REALS, "np.arctan2(a, d)", "np.hypot(a, b)", "np.copysign(a, d)", "np.fmod(a, pos + 1)"
    ),
    *_cases(REALS, "np.logaddexp(a, d)", "np.logaddexp2(a, d)", "np.fmax(a, d)", "np.fmin(a, b)"),
    *_cases(REALS, "np.degrees(a)", "np.rad2deg(a)", "np.deg2rad(a)", "np.radians(a)"),
    *_cases(REALS, "np.float_power(pos + 1, d)", "np.true_divide(a, pos + 2)", "np.power(pos, 2)"),
    *_cases(FLOATS, "np.heaviside(a, 0.5)", "np.nextafter(a, d)", "np.logaddexp2(a, 1.0)"),
    *_cases(ANY, "np.logical_and(a, d)", "np.logical_or(a, b)", "np.logical_not(a)"),
    *_cases(ANY, "np.logical_xor(a, d)", "np.isfinite(a)", "np.isnan(a)", "np.isinf(a)"),
    *_cases(SHORT, "np.degrees(a)", "np.radians(a)", "np.deg2rad(a)", "np.rad2deg(a)"),
    *_cases(SHORT, "np.logaddexp2(a, d)", "np.signbit(a)", "np.fmax(a, b)", "np.fmin(a, b)"),
    *_cases(SHORT, "np.hypot(a, f16)", "np.float_power(pos + f16 + 2, d)", "np.true_divide(a, 3)"),
    *_cases(("float32",), "np.logaddexp2(a, f64)", "np.logaddexp2(f16, a)", "np.fmin(a, f64)"),
    *_cases(("float16",), "np.logaddexp2(a, f64)", "np.arctan2(a, f32)", "np.copysign(n8, f64)"),
    *_cases(("float16",), "np.heaviside(a, f64)", "np.fmax(a, f32)", "np.logaddexp(n8, f64)"),
    *_cases(FLOATS, "np.isnan(nan)", "np.isinf(nan)", "np.isfinite(nan)"),
    *_cases(FLOATS, "np.fmax(nan, 1.0)", "np.fmin(b, nan)", "np.maximum(nan, b)"),
    *_cases(NUMBERS, "np.matmul(a, e)", "np.vecdot(a, b)", "np.matmul(c, e)", "np.positive(a)"),
    *_cases(NUMBERS, "np.vecdot(a, d, axis=0)"),
    *_cases(("int32",), "np.add(a, d, dtype=np.float64)", "np.exp(a, dtype=np.float32)"),
    *_cases(NUMBERS, "np.add.reduce(a)", "np.add.reduce(a, axis=None)", "np.multiply.reduce(a, 1)"),
    *_cases(ORDERED, "np.maximum.reduce(a)", "np.minimum.reduce(a, axis=1, keepdims=True)"),
    *_cases(ANY, "np.logical_and.reduce(a)", "np.logical_or.reduce(a, axis=None)"),
    *_cases(SHORT, "np.logaddexp.reduce(a, axis=1)", "np.logaddexp.accumulate(a)"),
    *_cases(FLOATS, "np.logaddexp.reduce(a, axis=1)", "np.logaddexp.accumulate(a)"),
    *_cases(REALS, "np.add.accumulate(a)", "np.maximum.accumulate(a, 1)"),
    *_cases(REALS, "np.minimum.accumulate(a)", "np.multiply.accumulate(a)"),
    *_cases(
        REALS, "np.subtract.outer(u3, b)", "np.multiply.outer(a, u3)", "np.maximum.outer(a, 1)"
    ),
]

REDUCTIONS = [
    *_cases(ANY, "np.sum(a)", "np.sum(a, axis=0)", "np.sum(c, axis=(0, 2))", "a.sum(-1)"),
    *_cases(ANY, "np.sum(c, axis=1, keepdims=True)", "np.prod(a)", "np.prod(a, 0)", "a.prod(1)"),
    *_cases(ANY, "np.mean(a)", "np.mean(a, axis=1)", "a.mean(0, keepdims=True)", "np.sum(z0)"),
    *_cases(ANY, "np.var(a)", "np.var(a, axis=0, ddof=1)", "a.std()", "np.std(a, 1, ddof=1)"),
    *_cases(ANY, "np.std(a, axis=1, correction=1)", "np.sum(a, axis=())", "a.var(0)"),
    *_cases(ORDERED, "np.max(a)", "np.max(a, axis=0)", "np.amax(a, (0, 1))", "a.max(1)"),
    *_cases(ORDERED, "np.min(a)", "np.min(c, axis=(0, 2), keepdims=True)", "np.amin(a)"),
    *_cases(ORDERED, "np.argmax(a)", "np.argmax(a, axis=1)", "a.argmin(0)", "np.argmin(c)"),
    *_cases(ORDERED, "np.argmax(a, axis=1, keepdims=True)", "np.argmin(a, keepdims=True)"),
    *_cases(REALS, "np.ptp(a)", "np.ptp(a, axis=1)", "np.ptp(a, axis=0, keepdims=True)"),
    *_cases(ANY, "np.all(a)", "np.any(a, axis=0)", "a.all(axis=1, keepdims=True)", "a.any()"),
    *_cases(ANY, "np.count_nonzero(a)", "np.count_nonzero(a, axis=1)"),
    *_cases(ANY, "np.count_nonzero(a, axis=1, keepdims=True)"),
    *_cases(ANY, "np.cumsum(a)", "np.cumsum(a, axis=1)", "a.cumprod(0)", "np.cumprod(a)"),
    *_cases(ANY, "np.cumulative_sum(a, axis=1)", "np.cumulative_prod(a, axis=0)"),
    *_cases(ANY, "np.cumulative_sum(b)", "np.cumulative_sum(a, axis=1, include_initial=True)"),
    *_cases(ANY, "np.average(a)", "np.average(a, axis=0)", "np.average(a, axis=1, weights=f64)"),
    *_cases(FLOATS, "np.average(a, weights=pos)", "np.average(a, 0, pos, returned=True)"),
    *_cases(FLOATS, "np.average(a, axis=(1, 0), weights=np.ones((4, 3)))"),
    *_cases(FLOATS, "np.average(a, axis=1, returned=True)"),
    *_cases(("int32", "float32"), "np.sum(a, dtype=np.float64)", "np.mean(a, dtype=np.float32)"),
    *_cases(("int32", "float32"), "np.cumsum(a, dtype=float)", "a.prod(dtype=np.int64)"),
    *_cases(("int32", "float32"), "np.var(a, dtype=np.float64)"),
    *_cases(FLOATS, "np.sum(np.zeros((0, 3)) * u3)", "np.prod(u3[:0])", "np.max(nan)"),
]

METHODS = (
    ("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf"),
    ("hazen", "weibull", "linear", "median_unbiased", "normal_unbiased"),
    ("lower", "higher", "midpoint", "nearest"),
)

MISSING = [
    *_cases(FEW, "np.nansum(gaps, axis=1)", "np.nanprod(gaps, 0)", "np.nanmean(gaps)"),
    *_cases(FEW, "np.nanmean(gaps, axis=1)", "np.nancumsum(gaps, axis=1)", "np.nancumprod(gaps)"),
    *_cases(FEW, "np.nanvar(gaps, 1, keepdims=True)", "np.nanstd(gaps, 0)"),
    *_cases(("float32",), "np.nanvar(gaps, ddof=1)", "np.nanstd(gaps, 1, correction=2)"),
    *_cases(("float32",), "np.nanmean(gaps, dtype=np.float64, keepdims=True)", "np.nanmax(nan)"),
    *_cases(("bool", "float32"), "np.nanmax(gaps, 1)", "np.nanmin(gaps, 0, keepdims=True)"),
]

QUANTILES = [
    *_cases(("bool", "float32"), "np.median(a, axis=1)", "np.nanmedian(gaps, axis=1)"),
    *_cases(DOUBLE, "np.median(c, axis=(2, 0), keepdims=True)", "np.median(gaps, 1)"),
    *_cases(DOUBLE, *(f"[np.quantile(v, [0, 0.15, 1], method=m) for m in {m}]" for m in METHODS)),
    *_cases(DOUBLE, *(f"[np.nanquantile(gaps, [0.5], 1, method=m) for m in {m}]" for m in METHODS)),
    *_cases(("int32", "float32"), "np.quantile(c, 0.3, axis=(0, 2))", "np.quantile(c, [[0.5]])"),
    *_cases(("int32", "float32"), "np.percentile(a, 30, axis=1, keepdims=True)"),
    *_cases(("int32", "float32"), "np.nanpercentile(gaps, 70, axis=1)", "np.quantile(a, 1)"),
    *_cases(("int32",), "np.quantile(a, 0.4, method='lower')"),
    *_cases(DOUBLE, "np.nanquantile(gaps, abs(f64))", "np.quantile(gaps, 0.3, axis=1)"),
    *_cases(DOUBLE, "np.percentile(a, 60 + z0)"),
]

SHAPES = [
    *_cases(ANY, "np.reshape(a, (4, 3))", "a.reshape(2, -1)", "a.reshape((2, 6))", "a.reshape(-1)"),
    *_cases(("int32",), "np.reshape(a, (4, 3), order='F')", "c.reshape(6, -1, order='F')"),
    *_cases(("int32",), "np.ravel(c, 'F')", "a.flatten('F')", "np.ravel(b, order='K')"),
    *_cases(ANY, "np.ravel(c)", "a.ravel()", "a.flatten()", "a.T", "c.transpose(1, 0, 2)"),
    *_cases(ANY, "np.transpose(c, (2, 0, 1))", "np.permute_dims(c, (1, 0, 2))", "c.mT", "b.T"),
    *_cases(("int32",), "np.reshape(z0, (1, 1))", "one.reshape(())", "np.transpose(c)"),
    *_cases(("int32",), "c.transpose((0, -1, 1))", "c.transpose()", "np.reshape(a, -1, copy=True)"),
    *_cases(("int32",), "np.matrix_transpose(c)", "np.linalg.matrix_transpose(a)"),
    *_cases(("int32",), "np.swapaxes(c, 0, -1)", "c.swapaxes(0, 1)", "np.moveaxis(c, 0, -1)"),
    *_cases(("int32",), "np.moveaxis(c, (0, 1), (-1, 0))", "np.rollaxis(c, 2)"),
    *_cases(("int32",), "np.rollaxis(c, 0, 3)", "np.rollaxis(c, 1, -1)"),
    *_cases(("int32",), "np.expand_dims(a, 1)", "np.expand_dims(a, (0, -1))", "np.squeeze(wide)"),
    *_cases(("int32",), "np.squeeze(wide, axis=0)", "wide.squeeze((0, 2))", "a[I, :, I]"),
    *_cases(("int32",), "np.broadcast_to(b, (3, 4))", "np.broadcast_arrays(a, b, 1)"),
    *_cases(("int32",), "np.atleast_1d(z0)", "np.atleast_2d(b, a)", "np.atleast_3d(b)"),
    *_cases(("int32",), "np.atleast_3d(a)", "np.atleast_3d(z0, c)", "np.atleast_1d(a)"),
    *_cases(("int32",), "np.flip(a)", "np.flip(a, 1)", "np.flip(c, (0, 2))", "np.fliplr(a)"),
    *_cases(("int32",), "np.flipud(a)", *(f"np.rot90(a, {k})" for k in range(-1, 4))),
    *_cases(("int32",), "np.rot90(c, axes=(1, 2))", "np.roll(a, 1)", "np.roll(a, -2, axis=1)"),
    *_cases(("int32",), "np.roll(a, (1, 2), axis=(0, 1))", "np.roll(a, 1, axis=(0, 1))"),
    *_cases(("int32",), "np.roll(a, (1, 2), axis=(0, 0))"),
    *_cases(ANY, "np.tril(a)", "np.triu(a, 1)", "np.tril(c, -1)", "np.triu(b)"),
    *_cases(ANY, "np.diag(b)", "np.diag(b, -1)", "np.diag(a)", "np.diag(a, 1)", "np.diagonal(c)"),
    *_cases(("int32",), "np.diagonal(c, 1, 0, 2)", "a.diagonal()", "np.diagflat(a, 1)"),
    *_cases(("int32",), "np.linalg.diagonal(c, offset=-1)", "np.copy(a)", "a.copy()"),
    *_cases(ANY, "np.concatenate([a, d])", "np.concat([a, d], axis=1)", "np.stack([a, d], -1)"),
    *_cases(
        ("int32",), "np.concatenate([a, d], axis=None)", "np.concatenate((a, np.ones((1, 4))))"
    ),
    *_cases(("int32",), "np.concatenate([b, [1.5]])", "np.concatenate([a, d], dtype=np.float32)"),
    *_cases(("int32",), "np.concatenate(c)", "np.stack(c, axis=1)", "np.stack([b, f32])"),
    *_cases(("float32",), "np.stack([b[0], 1.0])", "np.stack([p, b[0]])", "np.stack([b, f64], 1)"),
    *_cases(("int32",), "np.vstack([a, b])", "np.hstack([a, d])", "np.hstack([b, b, z0])"),
    *_cases(("int32",), "np.dstack([a, d])", "np.dstack([b, b])", "np.column_stack([b, b])"),
    *_cases(("int32",), "np.column_stack([a.T, b])", "np.append(a, b)", "np.append(a, d, 0)"),
    *_cases(("int32",), "np.block([[a, d], [d, a]])", "np.block([b, 1])", "np.block([[a], [b]])"),
    *_cases(("int32",), "np.split(a, 2, axis=1)", "np.split(b, [1, 3])", "np.array_split(v, 3)"),
    *_cases(("int32",), "np.split(v, [2, 1, 20])", "np.split(v, [-2])", "np.array_split(a, 5)"),
    *_cases(("int32",), "np.hsplit(a, 2)", "np.hsplit(b, [1])", "np.vsplit(a, 3)"),
    *_cases(("int32",), "np.dsplit(c, 2)", "np.unstack(a)", "np.unstack(c, axis=-1)", "list(a)"),
    *_cases(("int32",), "np.repeat(a, 2)", "np.repeat(a, 3, axis=1)", "np.repeat(a, [1, 0, 2], 0)"),
    *_cases(
        ("int32",), "a.repeat(2, 0)", "np.repeat(z0, 3)", "np.tile(b, 2)", "np.tile(a, (2, 3))"
    ),
    *_cases(("int32",), "np.tile(c, (2, 1))", "np.tile(b, (2, 1, 2))", "np.delete(b, 1)"),
    *_cases(("int32",), "np.delete(a, [0, -1], axis=1)", "np.delete(a, slice(1, 3))"),
    *_cases(NUMBERS, "np.pad(a, 1)", "np.pad(a, ((1, 0), (0, 2)), constant_values=3)"),
    *_cases(("int32",), "np.pad(b, (1, 2), mode='edge')", "np.pad(a, 1, 'reflect')"),
    *_cases(("int32",), "np.pad(a, ((0, 0), (2, 1)), 'symmetric')", "np.pad(b, 2, mode='wrap')"),
    *_cases(("int32",), "np.pad(b, (0, 1), constant_values=z0)"),
    *_cases(("uint8",), "np.pad(b, 1, constant_values=-1)"),
]

INDEXING = [
    *_cases(ANY, "a[0]", "a[-1, 2]", "a[1:, ::2]", "a[::-1]", "a[..., 0]", "c[:, I, 1]"),
    *_cases(("int32",), "a[i2]", "a[:, i32]", "c[1, :, i2]", "a[i2, i2]", "a[[0, 1]]", "a[i0]"),
    *_cases(
        ("int32",),
        "a[np.eye(3, 4) > 0]",
        "c[:, np.eye(3, 4, dtype=bool)]",
        "b[np.zeros(4, bool)]",
        "a[()]",
        "z0[()]",
        "b[i32]",
    ),
    *_cases(("int32",), "c[i2[1:], 1:, i0]", "a[np.array([True, False, True])]", "a[2, -4]"),
    *_cases(("int32",), "np.take(a, i2)", "np.take(a, [0, 1], axis=1)", "a.take(i32, 1)"),
    *_cases(("int32",), "np.take(a, 1, axis=0)", "np.take(a, i32 + 9, mode='wrap')"),
    *_cases(("int32",), "np.take(a, [5, -9], mode='wrap')", "np.take(b, [9, -9], mode='clip')"),
    *_cases(("int32",), "np.take(b, i32 * 9 - 5, mode='clip')"),
    *_cases(("int32",), "np.take_along_axis(a, np.argsort(a, 1), 1)"),
    *_cases(("int32",), "np.take_along_axis(a, np.argmax(a, axis=0)[I], axis=0)"),
    *_cases(("int32",), "np.take_along_axis(a, i32.ravel(), axis=None)"),
    *_cases(ORDERED, "np.sort(a)", "np.sort(a, axis=0)", "np.sort(a, axis=None)"),
    *_cases(FLOATS, "np.argsort(a)", "np.argsort(a, axis=0, stable=True)", "a.argsort(None)"),
    *_cases(FLOATS, "np.sort(nan)", "np.searchsorted(np.sort(b), a)"),
    *_cases(REALS, "np.searchsorted(np.sort(b), b, side='right')", "np.sort(b).searchsorted(0.5)"),
    *_cases(REALS, "np.searchsorted(b, a, sorter=np.argsort(b))", "np.digitize(a, [-1, 0, 1])"),
    *_cases(REALS, "np.digitize(a, [-1, 0, 1], right=True)", "np.digitize(a, [1, 0, -1])"),
    *_cases(FLOATS, "np.interp(a, rise, rise ** 2)", "np.interp(a, rise, rise, left=-1, right=9)"),
    *_cases(FLOATS, "np.interp(a, rise, rise, period=2.0)", "np.interp(0.7, rise, 1j * rise)"),
    *_cases(
        DOUBLE, "np.digitize(a, rise)", "np.digitize(a, -rise)", "np.digitize(rise, rise[::-1])"
    ),
    *_cases(DOUBLE, "np.digitize(rise, rise[::-1], right=True)", "np.digitize(a, one)"),
    *_cases(DOUBLE, "np.interp([0, 1, 1.5, 2, 3], [0, 1, 1, 2, 2], rise[:5])"),
    *_cases(
        DOUBLE,
        "np.interp([-1, 0, 0.5, 2], z0 * 0 + [0, 0, 2, 2], b)",
        "np.interp(nan, rise, v[:6])",
    ),
    *_cases(DOUBLE, "np.interp([0, 1, 2, 3], rise[:1], one)", "np.interp(nan, nan[3:], one)"),
    *_cases(
        DOUBLE,
        "np.interp(b, [-np.inf, 0.0, np.inf], u3)",
        "np.interp([1, 1.5, 2], [1, 2], nan[:2])",
    ),
    *_cases(DOUBLE, "np.interp([0, 0.5, 1, 2, 3], [0, 1, 2, 3], nan[[1, 1, 3, 2]])"),
    *_cases(DOUBLE, "np.interp(a, rise, 1j * rise, left=1 + 2j, right=-1)"),
    *_cases(FLOATS, "np.interp(2.0, rise, rise)", "np.interp(b, [0, 1], [2, 4])"),
    *_cases(("int32",), "np.unravel_index(np.argmax(a), a.shape)"),
    *_cases(("int32",), "np.unravel_index(i32 % 12, (3, 4), order='F')"),
    *_cases(("int32",), "np.ravel_multi_index((i2 % 3, i2 % 4), (3, 4))"),
    *_cases(
        ("int32",),
        "np.tril_indices_from(a)",
        "np.triu_indices_from(a, 1)",
        "np.diag_indices_from(r)",
    ),
]

ELEMENTS = [
    *_cases(ANY, "np.where(mask, a, d)", "np.where(a != 0, a, 0)", "np.where(a, b, 1.5)"),
    *_cases(
        ("float32",), "np.where(a > 0, a, 0.0)", "np.where(mask, 1.0, 0.0)", "np.where(a, 1, p)"
    ),
    *_cases(REALS, "np.clip(a, -1, 1)", "a.clip(0)", "np.clip(a, None, b)", "np.clip(a, 0, 1.5)"),
    *_cases(REALS, "np.clip(a, max=1)", "a.clip(max=b, min=-1)", "np.clip(a, 2, 1)"),
    *_cases(FLOATS, "np.clip(nan, 0, 1)"),
    *_cases(INEXACT, "np.round(a)", "a.round(1)", "np.around(a * 37, -1)", "np.round(a, 2)"),
    *_cases(("int32",), "np.round(a)", "a.round()", "np.fix(f64 * 1.7)"),
    *_cases(ANY, "np.real(a)", "a.imag", "a.real", "np.imag(a)"),
    *_cases(NUMBERS, "np.conj(a)", "a.conj()", "np.angle(a)", "np.angle(a, deg=True)"),
    *_cases(NUMBERS, "np.iscomplex(a)", "np.isreal(a)", "np.nan_to_num(a)"),
    *_cases(FLOATS, "np.nan_to_num(nan)", "np.nan_to_num(nan, nan=1, posinf=2.0, neginf=3)"),
    *_cases(
        ("int32", "float32"),
        "np.unwrap(4 * v)",
        "np.unwrap(9 * a, axis=0)",
        "np.unwrap(3 * v, 5.0, period=4)",
    ),
    *_cases(("int8", "int32"), "np.unwrap(3 * v, period=5)", "np.unwrap(3 * v, period=4)"),
    *_cases(
        DOUBLE,
        "np.unwrap(np.pi * v[:2].round() * [1, 0] )",
        "np.nan_to_num(1j * nan, posinf=np.inf)",
    ),
    *_cases(DOUBLE, "np.nan_to_num(nan + 1j * nan[::-1])", "np.isposinf(nan)", "np.isneginf(nan)"),
    *_cases(ANY, "np.isclose(a, d)", "np.array_equal(a, a)", "np.array_equal(a, b)"),
    *_cases(NUMBERS, "np.isclose(a, a * (1 + 1e-6))", "np.allclose(a, a + 1)", "np.allclose(a, a)"),
    *_cases(FLOATS, "np.isclose(nan, nan)", "np.isclose(nan, nan, equal_nan=True)"),
    *_cases(FLOATS, "np.array_equal(nan, nan)", "np.array_equal(nan, nan, equal_nan=True)"),
    *_cases(("int32",), "np.array_equiv(a, a[:1])", "np.array_equiv(a, u3)"),
    *_cases(REALS, "np.select([a > 1, a < -1], [a, b], 0)", "np.select([mask], [a * 1.5])"),
    *_cases(REALS, "np.sinc(a)", "np.i0(a)"),
    *_cases(REALS, "np.diff(a)", "np.diff(a, axis=0)", "np.diff(a, n=2)", "np.diff(a, n=0)"),
    *_cases(
        REALS,
        "np.diff(b, prepend=0)",
        "np.diff(b, 0, prepend=0)",
        "np.diff(a, append=a[:, :1])",
        "np.ediff1d(a)",
    ),
    *_cases(BOOL, "np.diff(a)", "a.conj()", "a.conjugate()"),
    *_cases(REALS, "np.gradient(v)", "np.gradient(a)", "np.gradient(a, 0.5, axis=1)"),
    *_cases(FLOATS, "np.gradient(a, 0.5, 2.0)", "np.gradient(v, edge_order=2)"),
    *_cases(DOUBLE, "np.gradient(v[:6], rise)", "np.gradient(v[:6], rise, edge_order=2)"),
    *_cases(
        REALS, "np.trapezoid(a)", "np.trapezoid(a, dx=0.5, axis=0)", "np.trapezoid(v[:6], rise)"
    ),
    *_cases(FLOATS, "np.trapezoid(a.T, b, axis=0)", "np.trapezoid(a, np.cumsum(pos, 1))"),
    *_cases(NUMBERS, *(f"np.convolve(v, u3, '{m}')" for m in ("full", "same", "valid"))),
    *_cases(NUMBERS, "np.convolve(u3, v)", "np.convolve(b, b, 'same')", "np.correlate(v, u3)"),
    *_cases(NUMBERS, *(f"np.correlate(u3, v, '{m}')" for m in ("full", "same", "valid"))),
    *_cases(NUMBERS, "np.correlate(b, b, 'full')", "np.correlate(b, u3, 'same')"),
    *_cases(NUMBERS, "np.polyval(b, a)", "np.polyval([1.0, 2.0], a)", "np.polyval(b, 2.0)"),
    *_cases(NUMBERS, "np.vander(b)", "np.vander(b, 3, increasing=True)", "np.vander(b, 0)"),
    *_cases(
        INEXACT, "np.cov(a)", "np.cov(a, rowvar=False, ddof=0)", "np.cov(b)", "np.cov(b, v[:4])"
    ),
    *_cases(INEXACT, "np.corrcoef(a)"),
    *_cases(("int32",), "np.cov(a)"),
    *_cases(ANY, "a.astype(np.float32)", "a.astype(complex)", "np.astype(a, np.float64)"),
    *_cases(REALS, "a.astype(int)", "a.astype(bool)", "a.astype('int8')", "(pos * 2).astype('u4')"),
]

CREATION = [
    *_cases(ANY, "np.zeros_like(a)", "np.ones_like(a)", "np.full_like(a, 1)"),
    *_cases(("int32",), "np.zeros_like(a, dtype=float)", "np.ones_like(a, shape=(2,))"),
    *_cases(("int32",), "np.full_like(a, 2.7)", "np.full_like(a, b)", "np.full_like(a, z0 + 1)"),
    *_cases(("int32",), "np.full_like(f64, z0)", "np.full_like(a, p, dtype=np.float32)"),
    *_cases(FLOATS, "np.linspace(z0, 2.0, 5)", "np.linspace(b, b + 1, 3)", "np.linspace(0, z0, 1)"),
    *_cases(FLOATS, "np.linspace(b, 2, 4, axis=-1)", "np.linspace(z0, 9, 4, endpoint=False)"),
    *_cases(FLOATS, "np.linspace(z0, 3, 4, retstep=True)", "np.logspace(0.5, z0, 4, base=2.0)"),
    *_cases(("int32",), "np.linspace(z0, 9, 4)", "np.linspace(0.5, z0 + 20, 7, dtype=int)"),
    *_cases(("int32",), "np.meshgrid(b, u3)", "np.meshgrid(b, u3, indexing='ij')"),
    *_cases(("int32",), "np.meshgrid(b, u3, one, sparse=True)", "np.meshgrid(b)"),
]

PRODUCTS = [
    *_cases(NUMBERS, "np.dot(a, e)", "np.dot(b, b)", "np.dot(a, b)", "np.dot(z0, a)", "a.dot(b)"),
    *_cases(NUMBERS, "np.dot(b, c.mT)", "np.dot(a, c.mT)", "np.inner(a, d)", "np.inner(c, b)"),
    *_cases(NUMBERS, "np.inner(z0, b)", "np.vdot(a, d)", "np.outer(u3, b)", "np.outer(a, u3)"),
    *_cases(
        ("float32",), "np.dot(a, 2.0)", "np.outer(b, 2.0)", "np.dot(a, f64)", "np.kron(b, 2.0)"
    ),
    *_cases(NUMBERS, "np.linalg.outer(u3, b)", "np.linalg.matmul(a, e)", "np.linalg.vecdot(a, b)"),
    *_cases(NUMBERS, "np.tensordot(a, d)", "np.tensordot(a, e, 1)", "np.tensordot(u3, b, 0)"),
    *_cases(NUMBERS, "np.tensordot(c, a, axes=([1, 2], [0, 1]))", "np.tensordot(a, b, (1, 0))"),
    *_cases(NUMBERS, "np.linalg.tensordot(c, a, axes=((2,), (1,)))"),
    *_cases(NUMBERS, "np.kron(u3, b)", "np.kron(a, e)", "np.kron(c, b)"),
    *_cases(NUMBERS, "np.cross(u3, w3)", "np.cross(r, u3)", "np.linalg.cross(r, r.T)"),
    *_cases(NUMBERS, "np.cross(a, d, axis=0)", "np.cross(a[:, :3], r, axisa=0, axisb=1, axisc=0)"),
    *_cases(NUMBERS, "np.trace(r)", "np.trace(c, 1)", "np.trace(c, axis1=1, axis2=2)", "r.trace()"),
    *_cases(NUMBERS, "np.linalg.trace(c)", "np.linalg.multi_dot([a, e, e.T, b])"),
    *_cases(NUMBERS, "np.linalg.matrix_power(r, 3)", "np.linalg.matrix_power(r, 0)"),
    *_cases(BOOL, "np.trace(r)"),
    *_cases(
        NUMBERS, "np.einsum('ij,jk->ik', a, e)", "np.einsum('ij,jk', a, e)", "np.einsum('ii', r)"
    ),
    *_cases(NUMBERS, "np.einsum('ii->i', r)", "np.einsum('ji', a)", "np.einsum('ij->', a)"),
    *_cases(("float64",), "np.einsum('...ij,...jk->...ik', c, e)", "np.einsum('...i,i', c, b)"),
    *_cases(("float64",), "np.einsum('...i,...i', c, a)", "np.einsum('i...->...', c)"),
    *_cases(("float64",), "np.einsum('ij, jk, kl -> il', a, e, e.T)", "np.einsum('i,j', u3, b)"),
    *_cases(("float64",), "np.einsum(a, [0, 1], e, [1, 2], [0, 2])", "np.einsum(a, [1, 0])"),
    *_cases(("float64",), "np.einsum(c, [..., 0], b, [0])", "np.einsum('ij,ij->i', a, b[I])"),
    *_cases(("float64",), "np.einsum('ij,kj->ik', a[:, :1], d, optimize=True)"),
    *_cases(("int32",), "np.einsum('ij,jk->ik', a, e * 1.5)"),
]

LINEAR_ALGEBRA = [
    *_cases(NUMBERS, "np.linalg.inv(r)", "np.linalg.det(r)", "np.linalg.slogdet(r)", loose=20),
    *_cases(NUMBERS, "np.linalg.solve(r, u3)", "np.linalg.solve(r, r.T)", loose=20),
    *_cases(NUMBERS, "np.linalg.cholesky(s)", "np.linalg.eigvalsh(s)", loose=20),
    *_cases(NUMBERS, "np.linalg.cholesky(s, upper=True)", "np.linalg.svdvals(tall)", loose=20),
    *_cases(  # one triangle alone is filled as it must be
        NUMBERS,
        "np.linalg.cholesky(np.tril(s))",
        "np.linalg.cholesky(np.triu(s), upper=True)",
        "np.linalg.eigvalsh(r)",
        "np.linalg.eigvalsh(r, 'U')",
        "np.linalg.eigh(r, UPLO='u')[0]",
        "np.linalg.pinv(r, hermitian=True)",
        "np.linalg.svd(r, hermitian=True).S",
        "np.linalg.svd(r, False, False, True)",
        loose=50,
    ),
    *_cases(INEXACT, "(lambda x, w, y: (x * w) @ y)(*np.linalg.svd(r, hermitian=True))", loose=50),
    *_cases(("int32", "float32"), "np.linalg.solve(r, f64[:3])", "np.linalg.solve(r, [1, 2, 3])"),
    *_cases(FLOATS, "np.linalg.slogdet(r).logabsdet", "np.linalg.eigvalsh(s, UPLO='U')", loose=20),
    *_cases(INEXACT, "np.linalg.eigh(s)[0]", "np.linalg.eigh(s).eigenvalues", loose=20),
    *_cases(INEXACT, "(lambda w, x: (x * w) @ np.conj(x.T))(*np.linalg.eigh(s))", loose=50),
    *_cases(
        INEXACT,
        "(lambda q, t: q @ t)(*np.linalg.qr(tall))",
        "abs(np.linalg.qr(tall, 'r'))",
        loose=20,
    ),
    *_cases(INEXACT, "abs(np.linalg.qr(tall.T, 'complete').R)", loose=20),
    *_cases(
        INEXACT,
        "(lambda x, w, y: (x * w) @ y)(*np.linalg.svd(tall, full_matrices=False))",
        "np.linalg.svd(r).S",
        "np.linalg.svd(tall, compute_uv=False)",
        loose=50,
    ),
    *_cases(INEXACT, "np.linalg.pinv(tall)", "np.linalg.pinv(tall, rcond=0.01)", loose=50),
    *_cases(INEXACT, "np.linalg.pinv(tall, rtol=None)", loose=50),
    *_cases(INEXACT, "np.linalg.lstsq(tall, tall[:, 0] + 1)[0]", loose=50),
    *_cases(INEXACT, "np.linalg.lstsq(tall, tall[:, :2] + 1)[1:]", loose=50),
    *_cases(("int32", "float64"), "np.linalg.lstsq(tall, tall[:, 0] + 1)[1]", loose=50),
    *_cases(DOUBLE, "np.linalg.lstsq(tall.T, u3)[1]", "np.linalg.lstsq(r, r)[1]", loose=50),
    *_cases(COMPLEX, "np.sum(np.linalg.eigvals(r))", "np.prod(np.linalg.eig(r)[0])", loose=50),
    *_cases(INEXACT, "np.linalg.matrix_power(r, -2)", loose=100),
    *_cases(NUMBERS, "np.linalg.norm(a)", "np.linalg.norm(b)", "np.linalg.norm(a, axis=0)"),
    *_cases(
        NUMBERS, *(f"np.linalg.norm(b, {o})" for o in ("1", "2", "3", "np.inf", "-np.inf", "0"))
    ),
    *_cases(NUMBERS, *(f"np.linalg.norm(a, {o})" for o in ("1", "-1", "np.inf", "-np.inf"))),
    *_cases(NUMBERS, *(f"np.linalg.norm(a, {o})" for o in ("2", "-2", "'fro'", "'nuc'")), loose=20),
    *_cases(FLOATS, "np.linalg.norm(c, axis=(0, 2))", "np.linalg.norm(c, 1, axis=(2, 0))"),
    *_cases(FLOATS, "np.linalg.norm(c, np.inf, (0, 1), keepdims=True)", "np.linalg.norm(c)"),
    *_cases(FLOATS, "np.linalg.norm(a, axis=1, keepdims=True)", "np.linalg.norm(a, keepdims=True)"),
    *_cases(FLOATS, "np.linalg.matrix_norm(c)", "np.linalg.matrix_norm(c, ord=1, keepdims=True)"),
    *_cases(FLOATS, "np.linalg.vector_norm(c)", "np.linalg.vector_norm(c, axis=(0, 1), ord=3)"),
]

FOURIER = [
    *_cases(NUMBERS, "np.fft.fft(b)", "np.fft.ifft(a, axis=0)", "np.fft.fft(a, 6)", loose=5),
    *_cases(NUMBERS, "np.fft.fft(a, n=2, norm='ortho')", "np.fft.irfft(a)", loose=5),
    *_cases(NUMBERS, "np.fft.irfft(b, 5, norm='forward')", "np.fft.hfft(a, axis=0)", loose=5),
    *_cases(REALS, "np.fft.rfft(a)", "np.fft.rfft(v, 5, norm='ortho')", "np.fft.ihfft(v)", loose=5),
    *_cases(NUMBERS, "np.fft.fftn(a)", "np.fft.ifftn(c, axes=(0, 2))", loose=5),
    *_cases(NUMBERS, "np.fft.fft2(c)", "np.fft.ifft2(a, s=(2, 5))", "np.fft.irfftn(c)", loose=5),
    *_cases(NUMBERS, "np.fft.irfft2(c, s=(3, -1))", loose=5),
    *_cases(REALS, "np.fft.rfftn(c)", "np.fft.rfft2(a, s=(2, 3), norm='forward')", loose=5),
    *_cases(("int32",), "np.fft.fftshift(a)", "np.fft.ifftshift(v)", "np.fft.fftshift(a, 1)"),
    *_cases(
        ("float16",), "np.fft.fft(b)", "np.fft.irfft(b)", "np.fft.irfftn(a, axes=(1,))", loose=5
    ),
    *_cases(("float16",), "np.fft.irfftn(c)", loose=5),
]

NUMPY_2_2 = [
    *_cases(NUMBERS, "np.matvec(a, b)", "np.vecmat(b, e)", "np.matvec(c, c[:, 0])"),
    *_cases(("int32",), "np.pad(a, {-1: (1, 2)})"),
]

CASES = (
    *OPERATORS,
    *UFUNCS,
    *REDUCTIONS,
    *MISSING,
    *QUANTILES,
    *SHAPES,
    *INDEXING,
    *ELEMENTS,
    *CREATION,
    *PRODUCTS,
    *LINEAR_ALGEBRA,
    *FOURIER,
    *(NUMPY_2_2 if hasattr(np, "matvec") else ()),
)
