"""NumPy functions of dtypes and shapes: known while tracing."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradwire.numpy_api.registry import implements
from gradwire.tensors import is_complex
from gradwire.trace.values import as_operand, as_traced, common_dtype, dtype_of


@implements("shape")
def shape(a: Any) -> tuple[int, ...]:
    """``np.shape``."""
    return as_traced(a).shape


@implements("ndim")
def ndim(a: Any) -> int:
    """``np.ndim``."""
    return as_traced(a).ndim


@implements("size")
def size(a: Any, axis: Any = None) -> int:
    """``np.size``."""
    x = as_traced(a)
    if axis is None:
        return x.size
    axes = axis if isinstance(axis, tuple) else (axis,)
    return int(np.prod([x.shape[place] for place in axes]))


@implements("result_type")
def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """``np.result_type`` of arrays, dtypes and numbers."""
    operands = [
        np.empty(0, value) if isinstance(value, np.dtype | type | str) else as_operand(value)
        for value in arrays_and_dtypes
    ]
    return common_dtype(operands)


@implements("can_cast")
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """``np.can_cast``."""
    return np.can_cast(dtype_of(as_operand(from_)), to, casting)


@implements("iscomplexobj")
def iscomplexobj(x: Any) -> bool:
    """``np.iscomplexobj``."""
    return is_complex(dtype_of(as_operand(x)))


@implements("isrealobj")
def isrealobj(x: Any) -> bool:
    """``np.isrealobj``."""
    return not iscomplexobj(x)


@implements("min_scalar_type")
def min_scalar_type(a: Any, /) -> np.dtype[Any]:
    """``np.min_scalar_type`` of an array: its dtype."""
    return as_traced(a).dtype


@implements("common_type")
def common_type(*arrays: Any) -> Any:
    """``np.common_type``."""
    return np.common_type(*(np.empty(0, dtype_of(as_operand(array))) for array in arrays))
