"""Subscripts of traced arrays."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradwire.opset.core import At, ByArray, Index, NewAxis, Range
from gradwire.trace.traced import METHODS, Traced, refuse
from gradwire.trace.values import apply, as_operand


def parse_index(key: Any, shape: Sequence[int]) -> tuple[Index, list[Any]]:
    """Returns a subscript in the language's terms, and its integer arrays in order.

    Args:
        key: What stands in the brackets.
        shape: The shape of the array that is subscripted.

    Raises:
        TraceError: a traced mask or bound.
        IndexError: more items than axes, or a known position out of range.
    """
    items = [part for item in _items(key) for part in _expand_mask(item)]
    ndim = len(shape)
    consumed = sum(item is not None and item is not Ellipsis for item, _ in items)
    if consumed > ndim:
        raise IndexError(f"too many indices: array has {ndim} axes; got {consumed}")
    if sum(item is Ellipsis for item, _ in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    index: list[At | Range | NewAxis | ByArray] = []
    arrays: list[Any] = []
    axis = 0
    for item, mask_length in items:
        if item is None:
            index.append(NewAxis())
            continue
        if item is Ellipsis:
            index.extend([Range(None, None, None)] * (ndim - consumed))
            axis += ndim - consumed
            continue
        if isinstance(item, slice):
            index.append(Range(*(_bound(b) for b in (item.start, item.stop, item.step))))
        elif isinstance(item, int | np.integer):
            _check_range(item, axis, shape[axis])
            index.append(At(int(item)))
        else:
            if mask_length not in (None, shape[axis]):
                raise IndexError(
                    f"a mask must be as long as the axes it selects from; got {mask_length} for "
                    f"axis {axis} of length {shape[axis]}"
                )
            _check_range(item, axis, shape[axis])
            index.append(ByArray())
            arrays.append(item)
        axis += 1
    return tuple(index), arrays


def getitem(x: Traced, key: Any) -> Traced:
    """``x[key]``."""
    index, arrays = parse_index(key, x.shape)
    return apply("getitem", x, *arrays, index=index)


def _check_range(positions: Any, axis: int, length: int) -> None:
    """Raises for known positions out of range: the op would move them to the nearest element."""
    if isinstance(positions, Traced) or not np.size(positions):
        return
    least, greatest = int(np.min(positions)), int(np.max(positions))
    if least < -length or greatest >= length:
        wrong = least if least < -length else greatest
        raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {length}")


def _items(key: Any) -> list[Any]:
    return list(key) if isinstance(key, tuple) else [key]


def _expand_mask(item: Any) -> list[tuple[Any, int | None]]:
    """Returns an item as one or, for a mask that is known, several items.

    With each position array of a mask stands the length of the mask's axis.
    """
    if item is None or item is Ellipsis or isinstance(item, slice):
        return [(item, None)]
    operand = as_operand(item)
    if not isinstance(operand, Traced):
        operand = np.asarray(operand)
    if operand.dtype.kind == "b":
        if isinstance(operand, Traced):
            refuse(
                "x[mask] with a traced mask has no fixed shape; write np.where(mask, x, 0), "
                "or take the positions as integers"
            )
        if not operand.ndim:
            refuse("a subscript with a single truth value can't be traced; use np.where")
        return list(zip(np.nonzero(operand), operand.shape, strict=True))
    if operand.dtype.kind not in "iu":
        # NumPy treats an empty list as no positions.
        if isinstance(item, list) and not operand.size:
            return [(operand.astype(np.int64), None)]
        raise IndexError(f"arrays used as indices must be of integer type; got {operand.dtype}")
    known_number = not isinstance(operand, Traced) and not isinstance(item, np.ndarray)
    return [(operand[()] if known_number and not operand.ndim else operand, None)]


def _bound(bound: Any) -> int | None:
    if isinstance(bound, Traced):
        refuse(
            "a slice with traced bounds has no fixed shape; write "
            "gw.ops.dynamic_slice, or close over the bounds"
        )
    return None if bound is None else operator.index(bound)


METHODS["__getitem__"] = lambda x: lambda key: getitem(x, key)
