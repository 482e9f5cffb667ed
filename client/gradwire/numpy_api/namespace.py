"""The Array API namespace of traced arrays: NumPy's, which has all names of the standard."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradwire.numpy_api.creation import fill
from gradwire.numpy_api.registry import pinned, strong
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import convert


def _holds_traced(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds_traced, value))
    return isinstance(value, Traced)


class Namespace:
    """NumPy, but for the functions that don't dispatch on their arguments."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def __dir__(self) -> list[str]:
        return dir(np)

    def __repr__(self) -> str:
        return "<the Array API namespace of traced arrays>"

    def asarray(
        self, obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
    ) -> Any:
        """Makes an array of a traced array, of nested lists of them, or of anything else."""
        if not _holds_traced(obj):
            return np.asarray(obj, dtype=dtype, copy=copy)
        if isinstance(obj, list | tuple):
            value: Any = np.stack([self.asarray(part) for part in obj])
        elif obj.weak or copy:
            value = strong(obj)
        else:
            value = obj
        return value if dtype is None else convert(value, pinned(dtype))

    array = asarray

    def full(self, shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """Makes an array of one value, which may be traced."""
        if not isinstance(fill_value, Traced):
            return np.full(shape, fill_value, dtype=dtype)
        return fill(shape, fill_value, dtype)

    def from_dlpack(self, x: Any, /, **options: Any) -> Any:
        """Returns an array of another library; a traced one has no memory to share.

        Raises:
            TraceError: it is traced.
        """
        if isinstance(x, Traced):
            refuse("a traced array has no memory to share; use it as it is")
        return np.from_dlpack(x, **options)


NAMESPACE = Namespace()
