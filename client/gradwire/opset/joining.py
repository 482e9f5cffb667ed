"""The shape family: ops that join arrays, cut them apart, repeat them or pad them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from gradwire.opset.core import (
    MIXED,
    UNBOUNDED,
    AttrSpec,
    Axes,
    Call,
    Kind,
    OpDef,
    fail,
    require,
)
from gradwire.opset.rules import along_axis_batch, checked, normal_axis, same_dtype
from gradwire.tensors import MAX_DIM, TensorType

MAX_UNSTACKED = 4096
"""The most outputs that `unstack` may have."""


def _infer_concat(call: Call) -> Sequence[TensorType]:
    dtype, first = same_dtype(call), call.inputs[0]
    axis = normal_axis(call.attrs["axis"], first.ndim)
    for x in call.inputs:
        if x.ndim != first.ndim or _without(x.shape, axis) != _without(first.shape, axis):
            raise fail(f"`inputs` must agree outside axis {axis}; got {first} and {x}")
    length = sum(x.shape[axis] for x in call.inputs)
    return [checked(dtype, (*first.shape[:axis], length, *first.shape[axis + 1 :]))]


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _batch_concat(call: Call, axes: Axes) -> Axes:
    joined = normal_axis(call.attrs["axis"], call.inputs[0].ndim)
    place = _one_axis(axes)
    return [MIXED if place == joined else place]


def _one_axis(axes: Axes) -> int:
    """Returns the batch axis that all batched inputs share, or ``MIXED``."""
    places = {axis for axis in axes if axis is not None}
    return places.pop() if len(places) == 1 else MIXED


def _infer_stack(call: Call) -> Sequence[TensorType]:
    dtype, first = same_dtype(call), call.inputs[0]
    axis = normal_axis(call.attrs["axis"], first.ndim + 1)
    for x in call.inputs:
        if x.shape != first.shape:
            raise fail(f"`inputs` must have one shape; got {first} and {x}")
    return [checked(dtype, (*first.shape[:axis], len(call.inputs), *first.shape[axis:]))]


def _batch_stack(call: Call, axes: Axes) -> Axes:
    new = normal_axis(call.attrs["axis"], call.inputs[0].ndim + 1)
    place = _one_axis(axes)
    return [place + 1 if place >= new else place]


def _infer_split(call: Call) -> Sequence[TensorType]:
    (x,), indices = call.inputs, call.attrs["indices"]
    axis = normal_axis(call.attrs["axis"], x.ndim)
    bounds = (0, *indices, x.shape[axis])
    steps = list(pairwise(bounds))
    require(
        all(low <= high for low, high in steps),
        lambda: f"`indices` must rise from 0 to {x.shape[axis]} at most; got {indices}",
    )
    return [
        TensorType(x.dtype, (*x.shape[:axis], high - low, *x.shape[axis + 1 :]))
        for low, high in steps
    ]


def _batch_split(call: Call, axes: Axes) -> Axes:
    return list(along_axis_batch(call, axes)) * (len(call.attrs["indices"]) + 1)


def _infer_unstack(call: Call) -> Sequence[TensorType]:
    (x,) = call.inputs
    axis = normal_axis(call.attrs["axis"], x.ndim)
    require(
        x.shape[axis] <= MAX_UNSTACKED,
        lambda: f"`axis` must have at most {MAX_UNSTACKED} entries; got {x.shape[axis]}",
    )
    return [TensorType(x.dtype, _without(x.shape, axis))] * x.shape[axis]


def _batch_unstack(call: Call, axes: Axes) -> Axes:
    gone = normal_axis(call.attrs["axis"], call.inputs[0].ndim)
    (place,) = along_axis_batch(call, axes)
    if place is None:
        return [MIXED] * call.inputs[0].shape[gone]
    return [place - 1 if place > gone else place] * call.inputs[0].shape[gone]


def _infer_repeat(call: Call) -> Sequence[TensorType]:
    (x,), repeats = call.inputs, call.attrs["repeats"]
    axis = normal_axis(call.attrs["axis"], x.ndim)
    require(repeats >= 0, lambda: f"`repeats` must not be negative; got {repeats}")
    return [checked(x.dtype, (*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :]))]


def _aligned(x: TensorType, call: Call) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns shape and repetitions of `tile`, ones put in front of the shorter."""
    repetitions = call.attrs["repetitions"]
    ndim = max(x.ndim, len(repetitions))
    return (1,) * (ndim - x.ndim) + x.shape, (1,) * (ndim - len(repetitions)) + repetitions


def _infer_tile(call: Call) -> Sequence[TensorType]:
    (x,), repetitions = call.inputs, call.attrs["repetitions"]
    require(
        all(count >= 0 for count in repetitions),
        lambda: f"`repetitions` must not be negative; got {repetitions}",
    )
    return [checked(x.dtype, [n * count for n, count in zip(*_aligned(x, call), strict=True)])]


def _batch_tile(call: Call, axes: Axes) -> Axes:
    (x,), (axis,) = call.inputs, axes
    shape, repetitions = _aligned(x, call)
    if axis is None:
        return [MIXED]
    place = axis + len(shape) - x.ndim
    return [place if repetitions[place] == 1 else MIXED]


def _pad_pairs(call: Call) -> list[tuple[int, int]]:
    widths, x = call.attrs["pad_width"], call.inputs[0]
    require(
        len(widths) == 2 * x.ndim and all(width >= 0 for width in widths),
        lambda: f"`pad_width` must hold {2 * x.ndim} numbers, none negative; got {widths}",
    )
    return list(zip(widths[::2], widths[1::2], strict=True))


def _widest_pad(mode: str, length: int) -> int:
    """Returns how much an axis may be padded: what it can fill without repeating itself."""
    if mode == "constant" or (mode == "edge" and length):
        return MAX_DIM
    return max(length - 1, 0) if mode == "reflect" else length


def _infer_pad(call: Call) -> Sequence[TensorType]:
    x, mode, pairs = call.inputs[0], call.attrs["mode"], _pad_pairs(call)
    same_dtype(call)
    for value in call.inputs[1:]:
        if mode != "constant":
            raise fail(f"`inputs[1]` must be absent for mode {mode}; got {value}")
        if value.ndim:
            raise fail(f"`inputs[1]` must be a scalar; got {value}")
    for axis, (length, pair) in enumerate(zip(x.shape, pairs, strict=True)):
        most = _widest_pad(mode, length)
        if max(pair) > most:
            raise fail(
                f"`pad_width` of axis {axis} must be at most {most} for mode {mode}; got {pair}"
            )
    return [checked(x.dtype, [n + sum(pair) for n, pair in zip(x.shape, pairs, strict=True)])]


def _batch_pad(call: Call, axes: Axes) -> Axes:
    axis = axes[0]
    return [MIXED if axis is None or any(_pad_pairs(call)[axis]) else axis]


_AXIS = AttrSpec(Kind.INT, "the axis; negative counts from the end")
_FIRST_AXIS = replace(_AXIS, omitted=0)

OPS = (
    OpDef(
        "concat",
        "Joins arrays along an axis that they have.",
        _infer_concat,
        (1, UNBOUNDED),
        {"axis": _FIRST_AXIS},
        batch=_batch_concat,
        operands="x...",
        dtypes="any",
    ),
    OpDef(
        "pad",
        "Adds elements at both ends of axes. With constant: value, or 0.",
        _infer_pad,
        (1, 2),
        {
            "pad_width": AttrSpec(Kind.INTS, "how many before and after, for each axis in turn"),
            "mode": AttrSpec(
                Kind.WORD,
                "what is added, as in NumPy; reflect, symmetric and wrap once around at most",
                "constant",
                ("constant", "edge", "reflect", "symmetric", "wrap"),
            ),
        },
        batch=_batch_pad,
        operands="x, [value]",
        dtypes="any",
    ),
    OpDef(
        "repeat",
        "Repeats each slice along an axis.",
        _infer_repeat,
        attrs={"axis": _AXIS, "repeats": AttrSpec(Kind.INT, "how often")},
        batch=along_axis_batch,
        operands="x",
        dtypes="any",
    ),
    OpDef(
        "split",
        "Cuts an axis before each index into len(indices) + 1 outputs.",
        _infer_split,
        attrs={"axis": _FIRST_AXIS, "indices": AttrSpec(Kind.INTS, "where to cut, rising")},
        batch=_batch_split,
        operands="x",
        dtypes="any",
        view=True,
        many_outputs=True,
    ),
    OpDef(
        "stack",
        "Joins arrays of one shape along a new axis.",
        _infer_stack,
        (1, UNBOUNDED),
        {"axis": AttrSpec(Kind.INT, "the place of the new axis in the result", omitted=0)},
        batch=_batch_stack,
        operands="x...",
        dtypes="any",
    ),
    OpDef(
        "tile",
        "Repeats the whole array along axes; ones are put in front of the shorter shape.",
        _infer_tile,
        attrs={"repetitions": AttrSpec(Kind.INTS, "how often, for each axis")},
        batch=_batch_tile,
        operands="x",
        dtypes="any",
    ),
    OpDef(
        "unstack",
        f"One output for each entry of an axis, which disappears; {MAX_UNSTACKED} at most.",
        _infer_unstack,
        attrs={"axis": _FIRST_AXIS},
        batch=_batch_unstack,
        operands="x",
        dtypes="any",
        view=True,
        many_outputs=True,
    ),
)
