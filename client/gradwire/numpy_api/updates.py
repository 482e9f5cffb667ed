"""Copies of a traced array with some elements replaced: what `x[key] = y` is in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradwire.numpy_api.indexing import parse_index
from gradwire.numpy_api.registry import implements_op
from gradwire.numpy_api.shapes import reshape
from gradwire.tensors import is_complex, is_inexact
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import apply, as_operand, as_traced, convert, dtype_of, is_weak


def _value_for(x: Traced, value: Any) -> Traced:
    """Returns a value in x's dtype, if NumPy would store it there without losing its kind."""
    operand = as_operand(value)
    dtype = dtype_of(operand)
    if is_weak(operand):
        fits = is_inexact(x.dtype) >= is_inexact(dtype) and is_complex(x.dtype) >= is_complex(dtype)
    else:
        fits = np.can_cast(dtype, x.dtype, "same_kind")
    if not fits:
        refuse(
            f"a value of dtype {dtype} can't be stored in an array of {x.dtype}; "
            "convert one of them with astype"
        )
    return convert(operand, x.dtype)


def _masked(x: Traced, mask: Traced, value: Traced, combine: Callable[[Any, Any], Any]) -> Traced:
    """The copy for a traced mask of x's leading axes: one value, or one for each last axes."""
    if mask.shape != x.shape[: mask.ndim] or value.ndim > x.ndim - mask.ndim:
        refuse(
            f"a traced mask must have the shape of x's first axes, and the value that of the "
            f"others at most; got mask {mask.shape}, value {value.shape} for {x.shape}. "
            "Write np.where(mask, value, x)"
        )
    condition = reshape(mask, mask.shape + (1,) * (x.ndim - mask.ndim))
    return apply("where", condition, combine(x, value), x)


def _update(op: str, combine: Callable[[Any, Any], Any]) -> Callable[..., Traced]:
    def update(x: Any, key: Any, value: Any) -> Traced:
        array = as_traced(x)
        stored = _value_for(array, value)
        if isinstance(key, Traced) and key.dtype.kind == "b":
            return _masked(array, key, stored, combine)
        index, positions = parse_index(key, array.shape)
        return apply(op, array, stored, *positions, index=index)

    return update


implements_op("index_add")(_update("index_add", lambda x, y: x + y))
implements_op("index_max")(_update("index_max", np.maximum))
implements_op("index_min")(_update("index_min", np.minimum))
implements_op("index_multiply")(_update("index_multiply", lambda x, y: x * y))
implements_op("index_set")(_update("index_set", lambda x, y: y))


@implements_op("getitem")
def getitem(x: Any, key: Any) -> Traced:
    """``x[key]``."""
    result: Traced = as_traced(x)[key]
    return result


@implements_op("dynamic_slice")
def dynamic_slice(x: Any, starts: Sequence[Any], slice_sizes: Sequence[int]) -> Traced:
    """The slice of a fixed size from starts that may be traced, one for each axis."""
    sizes = tuple(int(size) for size in slice_sizes)
    return apply("dynamic_slice", as_traced(x), *starts, slice_sizes=sizes)


@implements_op("dynamic_update_slice")
def dynamic_update_slice(x: Any, update: Any, starts: Sequence[Any]) -> Traced:
    """A copy of x with a slice replaced, from starts that may be traced."""
    array = as_traced(x)
    return apply("dynamic_update_slice", array, _value_for(array, update), *starts)
