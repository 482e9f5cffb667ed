"""``ufunc.reduce``, ``ufunc.accumulate`` and ``ufunc.outer`` of traced arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.numpy_api.reductions import (
    in_dtype,
    reduce_along,
    run_along,
    total_dtype,
)
from gradwire.numpy_api.registry import pinned, refuse_options, strong
from gradwire.opset import BY_UFUNC_METHOD
from gradwire.tensors import Dtype
from gradwire.trace.traced import UFUNC_METHODS, UFUNCS, Traced
from gradwire.trace.values import apply


def _logaddexp_dtype(dtype: Dtype) -> Dtype:
    return pinned(np.logaddexp.resolve_dtypes((dtype, dtype, None))[2])


_DTYPES: dict[str, Callable[[Dtype], Dtype]] = {
    "add": total_dtype,
    "logaddexp": _logaddexp_dtype,
    "multiply": total_dtype,
}
"""By ufunc, the dtype of a total for that of its operand, where NumPy changes it."""


def _reduce_method(name: str, op: str, default: Callable[[Dtype], Dtype]) -> Callable[..., Traced]:
    def reduce(
        a: Any, axis: Any = 0, dtype: Any = None, keepdims: Any = False, initial: Any = None
    ) -> Traced:
        refuse_options(
            f"{name}.reduce", "combine its result with the initial value", initial=initial
        )
        return reduce_along(op, in_dtype(a, dtype, default), axis, keepdims)

    return reduce


def _accumulate_method(op: str, default: Callable[[Dtype], Dtype]) -> Callable[..., Traced]:
    def accumulate(a: Any, axis: Any = 0, dtype: Any = None) -> Traced:
        return run_along(in_dtype(a, dtype, default), op, axis)

    return accumulate


def outer_method(ufunc: np.ufunc) -> Callable[..., Any]:
    """Returns ``ufunc.outer``: every element of one operand with every one of the other."""

    def outer(a: Any, b: Any, **kwargs: Any) -> Any:
        x, y = strong(a), strong(b)
        if not y.ndim:
            return ufunc(x, y, **kwargs)
        return ufunc(apply("reshape", x, shape=x.shape + (1,) * y.ndim), y, **kwargs)

    return outer


for _called, _op in BY_UFUNC_METHOD.items():
    _name, _, _method = _called.partition(".")
    _default = _DTYPES.get(_name, lambda dtype: dtype)
    if _method == "reduce":
        UFUNC_METHODS[getattr(np, _name), _method] = _reduce_method(_name, _op.name, _default)
    elif _method == "accumulate":
        UFUNC_METHODS[getattr(np, _name), _method] = _accumulate_method(_op.name, _default)
for _ufunc in [ufunc for ufunc in UFUNCS if ufunc.nin == 2 and ufunc.signature is None]:
    UFUNC_METHODS[_ufunc, "outer"] = outer_method(_ufunc)
