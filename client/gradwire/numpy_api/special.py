"""Special functions: NumPy's own, and the ufuncs of `scipy.special`, which is not imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.numpy_api.registry import implements, pinned, strong
from gradwire.numpy_api.ufuncs import by_loop
from gradwire.tensors import is_inexact
from gradwire.trace.traced import FOREIGN_UFUNCS, Traced
from gradwire.trace.values import apply, convert

_SCIPY_NAMES = {
    "beta": "special.beta",
    "betainc": "special.betainc",
    "betaln": "special.betaln",
    "cbrt": "cbrt",
    "digamma": "special.digamma",
    "entr": "special.entr",
    "erf": "special.erf",
    "erfc": "special.erfc",
    "erfcinv": "special.erfcinv",
    "erfcx": "special.erfcx",
    "erfinv": "special.erfinv",
    "exp2": "exp2",
    "expit": "special.expit",
    "expm1": "expm1",
    "gamma": "special.gamma",
    "gammainc": "special.gammainc",
    "gammaincc": "special.gammaincc",
    "gammaln": "special.gammaln",
    "i0": "special.i0",
    "i0e": "special.i0e",
    "i1": "special.i1",
    "i1e": "special.i1e",
    "kl_div": "special.kl_div",
    "log1p": "log1p",
    "log_expit": "nn.log_sigmoid",
    "log_ndtr": "special.log_ndtr",
    "loggamma": "special.loggamma",
    "logit": "special.logit",
    "ndtr": "special.ndtr",
    "ndtri": "special.ndtri",
    "psi": "special.digamma",
    "rel_entr": "special.rel_entr",
    "xlog1py": "special.xlog1py",
    "xlogy": "special.xlogy",
}
"""The op for each ufunc of `scipy.special`, by its ``__name__``."""


def scipy_ufunc(ufunc: np.ufunc) -> Callable[..., Any] | None:
    """Returns the handler of a ufunc of `scipy.special`, or None for any other.

    A ufunc knows its name but not its library, and another library's `erf` may
    be another function. So it must be the very object that the module holds.
    """
    name = ufunc.__name__
    if ufunc is getattr(sys.modules.get("scipy.special._ufuncs"), "_zeta", None):
        return lambda x, q: by_loop(ufunc, (x, q), "special.zeta")
    library = sys.modules.get("scipy.special")
    if name not in _SCIPY_NAMES or getattr(library, name, None) is not ufunc:
        return None
    return lambda *operands: by_loop(ufunc, operands, _SCIPY_NAMES[name])


def _floating_op(op: str, x: Any) -> Traced:
    value = strong(x)
    if not is_inexact(value.dtype):
        value = convert(value, pinned(np.float64))
    return apply(op, value)


@implements("sinc")
def sinc(x: Any) -> Traced:
    """``np.sinc``: sin(πx) / πx."""
    return _floating_op("special.sinc", x)


@implements("i0")
def i0(x: Any) -> Traced:
    """``np.i0``."""
    return _floating_op("special.i0", x)


FOREIGN_UFUNCS.append(scipy_ufunc)
