"""NumPy functions that join arrays, cut them apart, repeat them or pad them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from gradwire.numpy_api.indexing import getitem
from gradwire.numpy_api.registry import (
    implements,
    normal_axis,
    pinned,
    refuse_options,
    strong,
)
from gradwire.numpy_api.shapes import atleast_1d, atleast_2d, atleast_3d, ravel, reshape
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import apply, apply_many, convert, promote


def _joined(arrays: Any, function: str, dtype: Any, casting: str, out: Any) -> list[Traced]:
    refuse_options(function, out=out)
    if isinstance(arrays, Traced):
        arrays = list(arrays)
    operands = promote([strong(array) for array in arrays])
    if not operands:
        raise ValueError(f"np.{function} needs at least one array")
    if dtype is None:
        return operands
    wanted = pinned(dtype)
    if not np.can_cast(operands[0].dtype, wanted, casting):  # type: ignore[arg-type]
        raise TypeError(f"cannot cast {operands[0].dtype} to {wanted} with casting={casting!r}")
    return [convert(operand, wanted) for operand in operands]


@implements("concatenate")
def concatenate(
    arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Traced:
    """``np.concatenate``; without an axis of everything in a row."""
    operands = _joined(arrays, "concatenate", dtype, casting, out)
    if axis is None:
        operands, axis = [ravel(operand) for operand in operands], 0
    return apply("concat", *operands, axis=normal_axis(axis, operands[0].ndim))


@implements("stack")
def stack(
    arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Traced:
    """``np.stack``."""
    operands = _joined(arrays, "stack", dtype, casting, out)
    return apply("stack", *operands, axis=normal_axis(axis, operands[0].ndim + 1))


def _each(arrays: Any, shaped: Any) -> list[Any]:
    return [shaped(strong(array)) for array in arrays]


@implements("vstack")
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Traced:
    """``np.vstack``."""
    return concatenate(_each(tup, atleast_2d), 0, dtype=dtype, casting=casting)


@implements("hstack")
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Traced:
    """``np.hstack``."""
    arrays = _each(tup, atleast_1d)
    axis = 0 if arrays and arrays[0].ndim == 1 else 1
    return concatenate(arrays, axis, dtype=dtype, casting=casting)


@implements("dstack")
def dstack(tup: Any) -> Traced:
    """``np.dstack``."""
    return concatenate(_each(tup, atleast_3d), 2)


@implements("column_stack")
def column_stack(tup: Any) -> Traced:
    """``np.column_stack``."""
    columns = [x if x.ndim > 1 else reshape(x, (x.size, 1)) for x in map(strong, tup)]
    return concatenate(columns, 1)


@implements("block")
def block(arrays: Any) -> Traced:
    """``np.block``: nested lists of blocks, the innermost along the last axis."""
    depth = _depth(arrays)
    ndim = max(depth, *(x.ndim for x in _blocks(arrays)))
    return _assemble(arrays, depth, ndim)


def _depth(arrays: Any) -> int:
    return 1 + max(map(_depth, arrays), default=0) if isinstance(arrays, list) else 0


def _blocks(arrays: Any) -> list[Traced]:
    if isinstance(arrays, list):
        return [x for part in arrays for x in _blocks(part)]
    return [strong(arrays)]


def _assemble(arrays: Any, depth: int, ndim: int) -> Traced:
    if not isinstance(arrays, list):
        x = strong(arrays)
        return reshape(x, (1,) * (ndim - x.ndim) + x.shape)
    parts = [_assemble(part, depth - 1, ndim) for part in arrays]
    return concatenate(parts, ndim - depth)


@implements("append")
def append(arr: Any, values: Any, axis: Any = None) -> Traced:
    """``np.append``."""
    return concatenate([arr, values], axis)


@implements("delete")
def delete(arr: Any, obj: Any, axis: Any = None) -> Traced:
    """``np.delete`` of positions that are known."""
    x = strong(arr)
    if isinstance(obj, Traced):
        refuse("np.delete with traced positions has no fixed shape; close over the positions")
    if axis is None:
        x, axis = ravel(x), 0
    axis = normal_axis(axis, x.ndim)
    kept = np.delete(np.arange(x.shape[axis]), obj)
    return getitem(x, (slice(None),) * axis + (kept,))


def _cuts(length: int, sections: Any, *, equal: bool) -> tuple[int, ...]:
    """Returns where an axis is cut, inside it and rising."""
    if isinstance(sections, Traced):
        refuse("splitting at traced positions has no fixed shape; close over the positions")
    if np.ndim(sections):
        return tuple(operator.index(index) for index in sections)
    count = operator.index(sections)
    if count <= 0:
        raise ValueError("number sections must be larger than 0")
    if equal and length % count:
        raise ValueError("array split does not result in an equal division")
    least, longer = divmod(length, count)
    lengths = [least + 1] * longer + [least] * (count - longer)
    return tuple(int(cut) for cut in np.cumsum(lengths)[:-1])


def _split(x: Traced, sections: Any, axis: Any, *, equal: bool) -> list[Traced]:
    axis = normal_axis(axis, x.ndim)
    cuts = _cuts(x.shape[axis], sections, equal=equal)
    if all(a <= b for a, b in zip((0, *cuts), (*cuts, x.shape[axis]), strict=True)):
        return apply_many("split", x, indices=cuts, axis=axis)
    # Positions that fall, are negative or too large mean what they mean in a slice.
    front = (slice(None),) * axis
    bounds = zip((0, *cuts), (*cuts, None), strict=True)
    return [getitem(x, (*front, slice(start, stop))) for start, stop in bounds]


@implements("split")
def split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> list[Traced]:
    """``np.split``."""
    return _split(_view(ary), indices_or_sections, axis, equal=True)


@implements("array_split")
def array_split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> list[Traced]:
    """``np.array_split``."""
    return _split(_view(ary), indices_or_sections, axis, equal=False)


@implements("hsplit")
def hsplit(ary: Any, indices_or_sections: Any) -> list[Traced]:
    """``np.hsplit``."""
    x = _view(ary)
    return _split(x, indices_or_sections, 1 if x.ndim > 1 else 0, equal=True)


@implements("vsplit")
def vsplit(ary: Any, indices_or_sections: Any) -> list[Traced]:
    """``np.vsplit``."""
    return _split(_view(ary, 2), indices_or_sections, 0, equal=True)


@implements("dsplit")
def dsplit(ary: Any, indices_or_sections: Any) -> list[Traced]:
    """``np.dsplit``."""
    return _split(_view(ary, 3), indices_or_sections, 2, equal=True)


def _view(ary: Any, least: int = 1) -> Traced:
    x = ary if isinstance(ary, Traced) else strong(ary)
    if x.ndim < least:
        raise ValueError(f"the array must have at least {least} axes; got {x.ndim}")
    return x


@implements("unstack")
def unstack(x: Any, /, *, axis: Any = 0) -> tuple[Traced, ...]:
    """``np.unstack``."""
    x = _view(x)
    return tuple(apply_many("unstack", x, axis=normal_axis(axis, x.ndim)))


@implements("repeat")
def repeat(a: Any, repeats: Any, axis: Any = None) -> Traced:
    """``np.repeat`` of counts that are known; without ``axis`` everything in a row."""
    x = strong(a)
    if isinstance(repeats, Traced):
        refuse("np.repeat with traced counts has no fixed shape; close over the counts")
    if axis is None:
        x, axis = ravel(x), 0
    axis, counts = normal_axis(axis, x.ndim), np.asarray(repeats)
    if counts.size == 1:
        return apply("repeat", x, repeats=operator.index(counts.reshape(())[()]), axis=axis)
    positions = np.repeat(np.arange(x.shape[axis]), counts)
    return getitem(x, (slice(None),) * axis + (positions,))


@implements("tile")
def tile(A: Any, reps: Any) -> Traced:
    """``np.tile``."""
    counts = reps if isinstance(reps, tuple | list | np.ndarray) else (reps,)
    return apply("tile", strong(A), repetitions=tuple(operator.index(count) for count in counts))


_PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


@implements("pad")
def pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Traced:
    """``np.pad`` in the modes of the op."""
    x = strong(array)
    value = options.pop("constant_values", 0) if mode == "constant" else 0
    if mode not in _PAD_MODES or options:
        refuse(
            f"np.pad can't be traced with mode {mode!r} and {sorted(options) or 'no options'}; "
            f"the modes are {', '.join(_PAD_MODES)}, with a scalar `constant_values`"
        )
    if isinstance(pad_width, dict):
        pairs = [(0, 0)] * x.ndim
        for axis, width in pad_width.items():
            pairs[normal_axis(axis, x.ndim)] = tuple(np.broadcast_to(width, (2,)).tolist())
    else:
        pairs = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    widths = tuple(operator.index(width) for pair in pairs for width in pair)
    if mode != "constant":
        return apply("pad", x, pad_width=widths, mode=mode)
    if not isinstance(value, Traced) and np.ndim(value):
        refuse("np.pad can't be traced with several `constant_values`; pad one axis after another")
    if not isinstance(value, Traced):
        value = np.asarray(value)[()]  # wraps around in short integers, as in NumPy
    return apply("pad", x, convert(value, x.dtype), pad_width=widths, mode=mode)
