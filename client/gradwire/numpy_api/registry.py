"""How handlers of NumPy functions are registered, and what they share."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

import numpy as np

from gradwire.tensors import Dtype
from gradwire.trace.traced import FUNCTIONS, Traced, refuse
from gradwire.trace.values import as_operand, as_traced, dtype_of, is_weak, resolve

OP_FORMS: dict[str, Callable[..., Any]] = {}
"""How `gw.ops` calls an op whose node is written otherwise, by the op's name."""

Handler = TypeVar("Handler", bound=Callable[..., Any])

NO_VALUE: Any = getattr(np, "_NoValue", None)
"""What NumPy's methods pass on for an option that was not given."""


ABSENT: list[str] = []
"""Names that were to be registered and that this release of NumPy doesn't have."""


def implements(*names: str) -> Callable[[Handler], Handler]:
    """Registers what functions of NumPy, by their names below ``np``, do with traced arrays."""

    def register(handler: Handler) -> Handler:
        for name in names:
            try:
                FUNCTIONS[reduce(getattr, name.split("."), np)] = handler  # type: ignore[index]
            except AttributeError:
                ABSENT.append(name)
        return handler

    return register


def implements_op(op: str) -> Callable[[Handler], Handler]:
    """Registers how `gw.ops` calls an op, where not with its operands and attributes."""

    def register(handler: Handler) -> Handler:
        OP_FORMS[op] = handler
        return handler

    return register


def refuse_options(function: str, instead: str = "use its result", **options: Any) -> None:
    """Raises ``TraceError`` if one of the options is not left at None.

    Args:
        function: The function's name below ``np``.
        instead: What to write.
        **options: The options that have no meaning while tracing.
    """
    for name, value in options.items():
        if value is not None and value is not NO_VALUE:
            refuse(f"np.{function}(..., {name}=...) can't be traced; {instead}")


def strong(value: Any) -> Traced:
    """Returns an operand as NumPy's ``asarray`` would: no longer weak.

    Always a new value, so that it may stand for a copy.
    """
    return Traced(as_traced(value).ref)


def example(value: Any) -> Any:
    """Returns a small value of the same dtype, or a Python scalar for a weak one.

    NumPy's result for it has the dtype of the real result.
    """
    operand = as_operand(value)
    if is_weak(operand):
        return {"b": True, "i": 1, "f": 1.0, "c": 1j}[dtype_of(operand).kind]
    return np.ones((), dtype_of(operand))


def pinned(dtype: Any) -> Dtype:
    """Returns the dtype that values of a given dtype have in this program.

    Raises:
        TraceError: the wire has no such dtype.
    """
    (result,) = resolve(lambda: (np.dtype(dtype),), ())
    return result


def normal_axis(axis: Any, ndim: int) -> int:
    """Returns an axis counted from the front.

    Raises:
        AxisError: it is out of range.
    """
    number = operator.index(axis)
    if not -ndim <= number < ndim:
        raise np.exceptions.AxisError(number, ndim)
    return number % ndim


def normal_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Returns one axis, several, or all for None, counted from the front.

    Raises:
        AxisError: one is out of range.
        ValueError: one is there twice.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    normal = tuple(normal_axis(a, ndim) for a in axes)
    if len(set(normal)) != len(normal):
        raise ValueError(f"`axis` must not repeat; got {axis}")
    return normal


def shape_of(shape: Any) -> tuple[int, ...]:
    """Returns a shape given as an integer or a sequence of them."""
    lengths = shape if isinstance(shape, tuple | list | np.ndarray) else (shape,)
    return tuple(operator.index(length) for length in lengths)
