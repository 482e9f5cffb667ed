"""Special functions: NumPy's own, and the ufuncs of `scipy.special`, which is not imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.numpy_api.registry import implements, normal_axes, pinned, strong
from gradwire.numpy_api.ufuncs import by_loop
from gradwire.opset import BY_UFUNC
from gradwire.tensors import is_inexact
from gradwire.trace.interception import INTERCEPTED
from gradwire.trace.traced import FOREIGN_UFUNCS, Traced
from gradwire.trace.values import apply, convert


def scipy_ufunc(ufunc: np.ufunc) -> Callable[..., Any] | None:
    """Returns the handler of a ufunc of `scipy.special`, or None for any other.

    A ufunc has a name but no library, and another library's `erf` may be another
    function. So it must be the very object that the module holds.
    """
    name = ufunc.__name__
    if ufunc is getattr(sys.modules.get("scipy.special._ufuncs"), "_zeta", None):
        return lambda x, q: by_loop(ufunc, (x, q), "special.zeta")
    op = BY_UFUNC.get(f"scipy.special.{name}")
    if op is None or getattr(sys.modules.get("scipy.special"), name, None) is not ufunc:
        return None
    return lambda *operands: by_loop(ufunc, operands, op.name)


def _floating(x: Any) -> Traced:
    """Returns an operand as SciPy takes it: integers become float64."""
    value = strong(x)
    return value if is_inexact(value.dtype) else convert(value, pinned(np.float64))


@implements("sinc")
def sinc(x: Any) -> Traced:
    """``np.sinc``: sin(πx) / πx."""
    return apply("special.sinc", _floating(x))


@implements("i0")
def i0(x: Any) -> Traced:
    """``np.i0``."""
    return apply("special.i0", _floating(x))


def _normalised(op: str) -> Callable[..., Traced]:
    def normalise(x: Any, axis: Any = None) -> Traced:
        value = _floating(x)
        return apply(op, value, axis=normal_axes(axis, value.ndim))

    return normalise


def _logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """``scipy.special.logsumexp``: log Σ b exp(a), with b = 1 if it is left out."""
    x = _floating(a)
    total: Any
    if b is None:
        total = apply("logsumexp", x, axis=normal_axes(axis, x.ndim), keepdims=keepdims)
        return (total, np.sign(np.exp(total))) if return_sign else total
    # An element of weight 0 must not overflow beside the others.
    weighed: Any
    weighed, b = np.broadcast_arrays(np.where(b == 0, -np.inf, x), b)
    axes = normal_axes(axis, weighed.ndim)
    highest: Any = apply("stop_gradient", np.max(weighed, axis=axes, keepdims=True))
    highest = np.where(np.isfinite(highest), highest, 0)
    total = np.sum(b * np.exp(weighed - highest), axis=axes, keepdims=True)
    result = (np.log(np.abs(total) if return_sign else total) + highest, np.sign(total))
    if not keepdims:
        result = (np.squeeze(result[0], axes), np.squeeze(result[1], axes))
    return result if return_sign else result[0]


INTERCEPTED["scipy.special", "log_softmax"] = _normalised("nn.log_softmax")
INTERCEPTED["scipy.special", "logsumexp"] = _logsumexp
INTERCEPTED["scipy.special", "softmax"] = _normalised("nn.softmax")
FOREIGN_UFUNCS.append(scipy_ufunc)
