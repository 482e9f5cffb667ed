"""What the methods and properties of an array do for traced ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gradwire.numpy_api import choosing, products, reductions, shapes, sorting
from gradwire.numpy_api.creation import full_like
from gradwire.numpy_api.namespace import NAMESPACE
from gradwire.numpy_api.registry import pinned, strong
from gradwire.trace.traced import METHODS, Traced, refuse
from gradwire.trace.values import convert


def _bound(handler: Callable[..., Any]) -> Callable[[Traced], Callable[..., Any]]:
    return lambda x: partial(handler, x)


def astype(
    x: Traced,
    dtype: Any,
    order: Any = "K",
    casting: Any = "unsafe",
    subok: bool = True,
    copy: bool = True,
) -> Traced:
    """``x.astype``: the same value only with ``copy=False`` and nothing to do."""
    wanted = pinned(dtype)
    if not np.can_cast(x.dtype, wanted, casting):
        raise TypeError(
            f"Cannot cast array data from {x.dtype} to {wanted} according to the rule '{casting}'"
        )
    if wanted == x.dtype and not copy and not x.weak:
        return x
    return Traced(convert(x, wanted).ref)


def _reshape(x: Traced, *lengths: Any, order: Any = "C", copy: Any = None) -> Traced:
    shape = lengths[0] if len(lengths) == 1 else lengths
    return shapes.reshape(x, shape, order, copy=copy)


def _transpose(x: Traced, *axes: Any) -> Traced:
    order = axes[0] if len(axes) == 1 else axes or None
    return shapes.transpose(x, (order,) if isinstance(order, int) else order)


def _flatten(x: Traced, order: Any = "C") -> Traced:
    return strong(shapes.ravel(strong(x), order))


def _copy(x: Traced, order: Any = "C") -> Traced:
    return strong(x)


def _sort(x: Traced, axis: Any = -1, kind: Any = None, order: Any = None, **options: Any) -> None:
    """``x.sort()`` changes the array itself."""
    x.assign(sorting.sort(x, axis, kind, order, **options))


def _fill(x: Traced, value: Any) -> None:
    """``x.fill()`` changes the array itself."""
    x.assign(full_like(x, value))


METHODS.update(
    {
        "T": lambda x: shapes.transpose(x),
        "__array_namespace__": lambda x: NAMESPACE,
        "device": lambda x: "cpu",
        "imag": choosing.imag,
        "mT": shapes.matrix_transpose,
        "real": choosing.real,
    }
)
_BOUND: dict[str, Callable[..., Any]] = {
    "all": reductions.all_,
    "any": reductions.any_,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "argsort": sorting.argsort,
    "astype": astype,
    "clip": choosing.clip,
    "conj": choosing.conjugate,
    "conjugate": choosing.conjugate,
    "copy": _copy,
    "cumprod": reductions.cumprod,
    "cumsum": reductions.cumsum,
    "diagonal": products.diagonal,
    "dot": products.dot,
    "fill": _fill,
    "flatten": _flatten,
    "max": reductions.max_,
    "mean": reductions.mean,
    "min": reductions.min_,
    "prod": reductions.prod,
    "ravel": shapes.ravel,
    "repeat": np.repeat,
    "reshape": _reshape,
    "round": choosing.round_,
    "searchsorted": sorting.searchsorted,
    "sort": _sort,
    "squeeze": shapes.squeeze,
    "std": reductions.std,
    "sum": reductions.sum_,
    "swapaxes": shapes.swapaxes,
    "take": sorting.take,
    "trace": products.trace,
    "transpose": _transpose,
    "var": reductions.var,
}
METHODS.update({name: _bound(handler) for name, handler in _BOUND.items()})

_NO_VALUES = "return the array from the traced function, and take its values from the result"
_FIXED = "gradwire's arrays have no memory of their own while traced"
_REFUSED = {
    "base": _FIXED,
    "byteswap": _FIXED,
    "choose": "write np.select",
    "compress": "it has no fixed shape; write np.where(condition, x, 0)",
    "ctypes": _FIXED,
    "data": _FIXED,
    "dump": _NO_VALUES,
    "dumps": _NO_VALUES,
    "flags": _FIXED,
    "flat": "write x.ravel()",
    "item": _NO_VALUES,
    "nonzero": "it has no fixed shape; write np.where(x != 0, a, b)",
    "partition": "write np.sort(x)",
    "argpartition": "write np.argsort(x)",
    "put": "write x = gw.ops.index_set(x, np.s_[...], y)",
    "resize": "write np.pad, or a slice",
    "setfield": _FIXED,
    "strides": _FIXED,
    "to_device": "the server chooses the device",
    "tobytes": _NO_VALUES,
    "tofile": _NO_VALUES,
    "tolist": _NO_VALUES,
    "view": "write gw.ops.bitcast(x, dtype)",
}


def _refusal(name: str, instead: str) -> Callable[[Traced], Any]:
    return lambda x: refuse(f"`.{name}` of an array can't be traced; {instead}")


METHODS.update({name: _refusal(name, instead) for name, instead in _REFUSED.items()})
