"""PyTorch's elementwise functions in NumPy's words, with PyTorch's arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

import gradwire as gw
from outside.torch_words import not_offered

ops = gw.ops

_SAME_NAME = (
    "abs acos acosh add angle asin asinh atan atanh atan2 bitwise_and bitwise_or bitwise_xor "
    "bitwise_left_shift bitwise_right_shift ceil conj copysign cos cosh deg2rad exp exp2 expm1 "
    "fmax fmin fmod floor floor_divide float_power heaviside hypot i0 imag isfinite isinf isnan "
    "isposinf isneginf isreal log log10 log1p log2 logaddexp2 logical_and logical_not "
    "logical_or logical_xor maximum minimum nextafter positive rad2deg real reciprocal remainder "
    "sign signbit sin sinc sinh sqrt square tan tanh true_divide trunc"
)


def _div(x: Any, y: Any, rounding_mode: str | None = None) -> Any:
    if rounding_mode == "floor":
        return np.floor_divide(x, y)
    return np.trunc(x / y) if rounding_mode == "trunc" else x / y


def _clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    return np.clip(x, min, max)


def _nan_to_num(x: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    return np.nan_to_num(x, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)


def _round(x: Any, decimals: int = 0) -> Any:
    return np.round(x, decimals)


def _lerp(x: Any, end: Any, weight: Any) -> Any:
    return x + weight * (end - x)


def _logit(x: Any, eps: float | None = None) -> Any:
    return special.logit(x if eps is None else np.clip(x, eps, 1 - eps))


def _mvlgamma(x: Any, p: int) -> Any:
    terms = sum(special.gammaln(x - j / 2) for j in range(p))
    return terms + p * (p - 1) / 4 * math.log(math.pi)


def _ldexp(x: Any, other: Any) -> Any:
    return x * np.exp2(other)


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in _SAME_NAME.split()},
    "__radd__": lambda x, y: y + x,
    "__rand__": lambda x, y: y & x,
    "__rdiv__": lambda x, y: y / x,
    "__rmod__": lambda x, y: y % x,
    "__rmul__": lambda x, y: y * x,
    "__ror__": lambda x, y: y | x,
    "__rpow__": lambda x, y: y**x,
    "__rsub__": lambda x, y: y - x,
    "__rxor__": lambda x, y: y ^ x,
    "add": lambda x, y, alpha=1: x + alpha * y,
    "addcdiv": lambda x, a, b, value=1: x + value * a / b,
    "addcmul": lambda x, a, b, value=1: x + value * a * b,
    "bitwise_not": np.invert,
    "clamp": _clamp,
    "clamp_max": np.minimum,
    "clamp_min": np.maximum,
    "complex": lambda x, y: x + 1j * y,
    "conj_physical": np.conj,
    "digamma": special.digamma,
    "div": _div,
    "eq": np.equal,
    "erf": special.erf,
    "erfc": special.erfc,
    "erfinv": special.erfinv,
    "frac": lambda x: x - np.trunc(x),
    "ge": np.greater_equal,
    "gt": np.greater,
    "igamma": special.gammainc,
    "igammac": special.gammaincc,
    "isclose": lambda x, y, rtol=1e-5, atol=1e-8, equal_nan=False: np.isclose(
        x, y, rtol, atol, equal_nan
    ),
    "ldexp": _ldexp,
    "le": np.less_equal,
    "lerp": _lerp,
    "lgamma": special.gammaln,
    "logit": _logit,
    "logaddexp": lambda x, y: not_offered("complex") if x.dtype.kind == "c" else np.logaddexp(x, y),
    "lt": np.less,
    "masked_fill": lambda x, mask, value: np.where(mask, value, x),
    "max|binary": np.maximum,
    "min|binary": np.minimum,
    "mul": np.multiply,
    "mvlgamma": _mvlgamma,
    "nan_to_num": _nan_to_num,
    "ne": np.not_equal,
    "neg": np.negative,
    "polar": lambda r, angle: r * np.cos(angle) + 1j * (r * np.sin(angle)),
    "polygamma": lambda x, n: ops.special.polygamma(x, n=n),
    "pow": lambda x, y: x**y,
    "resolve_conj": lambda x: +x,
    "resolve_neg": lambda x: +x,
    "round": _round,
    "rsqrt": ops.rsqrt,
    "rsub": lambda x, y, alpha=1: y - alpha * x,
    "sgn": np.sign,
    "sigmoid": lambda x: special.expit(x) if x.dtype.kind != "c" else 1 / (1 + np.exp(-x)),
    "special.entr": special.entr,
    "special.i0e": special.i0e,
    "special.i1": special.i1,
    "special.i1e": special.i1e,
    "special.log_ndtr": special.log_ndtr,
    "special.modified_bessel_i0": special.i0,
    "special.modified_bessel_i1": special.i1,
    "special.ndtr": special.ndtr,
    "special.ndtri": special.ndtri,
    "special.polygamma": lambda x, n: ops.special.polygamma(x, n=n),
    "special.xlog1py": special.xlog1py,
    "special.zeta": ops.special.zeta,
    "sub": lambda x, y, alpha=1: x - alpha * y,
    "view_as_complex": lambda x: x[..., 0] + 1j * x[..., 1],
    "view_as_real": lambda x: np.stack([np.real(x), np.imag(x)], -1),
    "where": lambda x, mask, y: np.where(mask, x, y),
    "xlogy": special.xlogy,
    # Activations.
    "nn.functional.celu": lambda x, alpha=1.0: (
        ops.nn.elu(x / alpha, alpha=alpha) if alpha else not_offered("alpha of 0")
    ),
    "nn.functional.elu": lambda x, alpha=1.0: ops.nn.elu(x, alpha=alpha),
    "nn.functional.gelu": lambda x, approximate="none": ops.nn.gelu(
        x, approximate=approximate == "tanh"
    ),
    "nn.functional.hardshrink": lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0.0),
    "nn.functional.hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "nn.functional.hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "nn.functional.hardtanh": lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
    "nn.functional.leaky_relu": lambda x, negative_slope=0.01: ops.nn.leaky_relu(
        x, negative_slope=negative_slope
    ),
    "nn.functional.logsigmoid": ops.nn.log_sigmoid,
    "nn.functional.mish": ops.nn.mish,
    "nn.functional.relu": ops.nn.relu,
    "nn.functional.relu6": lambda x: np.clip(x, 0, 6),
    "nn.functional.selu": ops.nn.selu,
    "nn.functional.silu": ops.nn.silu,
    "nn.functional.silu|complex": lambda x: x / (1 + np.exp(-x)),
    "nn.functional.softplus": lambda x, beta=1.0, threshold=20.0: (
        ops.nn.softplus(beta * x) / beta if threshold == 20.0 else not_offered("threshold")
    ),
    "nn.functional.softshrink": lambda x, lambd=0.5: np.sign(x) * ops.nn.relu(np.abs(x) - lambd),
    "nn.functional.softsign": lambda x: x / (1 + np.abs(x)),
    "nn.functional.tanhshrink": lambda x: x - np.tanh(x),
    "nn.functional.threshold": lambda x, threshold, value: np.where(x > threshold, x, value),
}
"""By the name in OpInfo; what has variants that are called alike is named without them."""
