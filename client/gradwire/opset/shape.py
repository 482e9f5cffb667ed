"""The shape family: ops on one array that move or drop elements but compute nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gradwire.opset.core import (
    ALL_AXES,
    MIXED,
    AttrSpec,
    Axes,
    BatchRule,
    Call,
    InferRule,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.rules import along_axis_batch, attr_axes, broadcast_shapes, checked, normal_axes
from gradwire.tensors import TensorType


def _infer_reshape(call: Call) -> Sequence[TensorType]:
    (x,), shape = call.inputs, call.attrs["shape"]
    result = checked(x.dtype, shape)
    require(
        result.size == x.size,
        lambda: f"`shape` must hold as many elements as the input; got {shape} and {x.shape}",
    )
    return [result]


def _batch_reshape(call: Call, axes: Axes) -> Axes:
    """The batch axis stays one where as many elements stand before and after it.

    An element's row-major position then splits into (before, sample, after) in
    the same way on both sides.
    """
    (x,), (axis,), shape = call.inputs, axes, call.attrs["shape"]
    if axis is None or x.size == 0:
        return [MIXED]
    before = math.prod(x.shape[:axis])
    for place, length in enumerate(shape):
        if length == x.shape[axis] and math.prod(shape[:place]) == before:
            return [place]
    return [MIXED]


def _infer_broadcast_to(call: Call) -> Sequence[TensorType]:
    (x,), shape = call.inputs, call.attrs["shape"]
    result = checked(x.dtype, shape)
    require(
        x.ndim <= result.ndim and broadcast_shapes([x.shape, shape]) == shape,
        lambda: f"the input must broadcast to `shape`; got {x.shape} and {shape}",
    )
    return [result]


def _batch_broadcast_to(call: Call, axes: Axes) -> Axes:
    (x,), (axis,), shape = call.inputs, axes, call.attrs["shape"]
    if axis is None:
        return [MIXED]
    place = axis + len(shape) - x.ndim
    return [place if shape[place] == x.shape[axis] else MIXED]


def _infer_expand_dims(call: Call) -> Sequence[TensorType]:
    (x,), axis = call.inputs, call.attrs["axis"]
    new = normal_axes(axis, x.ndim + len(axis))
    rest = iter(x.shape)
    shape = [1 if place in new else next(rest) for place in range(x.ndim + len(axis))]
    return [checked(x.dtype, shape)]


def _batch_expand_dims(call: Call, axes: Axes) -> Axes:
    ndim = call.inputs[0].ndim + len(call.attrs["axis"])
    new = normal_axes(call.attrs["axis"], ndim)
    return _old_place(axes, [place for place in range(ndim) if place not in new])


def _infer_squeeze(call: Call) -> Sequence[TensorType]:
    (x,) = call.inputs
    gone = normal_axes(call.attrs["axis"], x.ndim)
    require(
        all(x.shape[axis] == 1 for axis in gone),
        lambda: f"`axis` must name axes of length 1; got {call.attrs['axis']} of {x.shape}",
    )
    return [TensorType(x.dtype, tuple(n for axis, n in enumerate(x.shape) if axis not in gone))]


def _batch_squeeze(call: Call, axes: Axes) -> Axes:
    (x,) = call.inputs
    gone = normal_axes(call.attrs["axis"], x.ndim)
    kept = [axis for axis in range(x.ndim) if axis not in gone]
    return [kept.index(axes[0]) if axes[0] in kept else MIXED]


def _old_place(axes: Axes, places: Sequence[int]) -> Axes:
    """Axis i of the input stands at ``places[i]`` of the output."""
    (axis,) = axes
    return [MIXED if axis is None else places[axis]]


def _infer_permute_dims(call: Call) -> Sequence[TensorType]:
    (x,), axes = call.inputs, call.attrs["axes"]
    order = normal_axes(axes, x.ndim, "axes")
    require(len(order) == x.ndim, lambda: f"`axes` must name all {x.ndim} axes; got {axes}")
    return [TensorType(x.dtype, tuple(x.shape[axis] for axis in order))]


def _batch_permute_dims(call: Call, axes: Axes) -> Axes:
    order = normal_axes(call.attrs["axes"], call.inputs[0].ndim, "axes")
    return [MIXED if axes[0] is None else order.index(axes[0])]


def _infer_matrix_transpose(call: Call) -> Sequence[TensorType]:
    (x,) = call.inputs
    require_matrices(x)
    return [TensorType(x.dtype, (*x.shape[:-2], x.shape[-1], x.shape[-2]))]


def require_matrices(x: TensorType, what: str = "inputs[0]") -> None:
    """Raises unless there are at least two axes: matrices, with batch axes in front."""
    require(x.ndim >= 2, lambda: f"`{what}` must have at least 2 axes; got {x}")


def _batch_matrix_transpose(call: Call, axes: Axes) -> Axes:
    front = range(call.inputs[0].ndim - 2)
    return _old_place(axes, [*front, len(front) + 1, len(front)])


def _infer_flip(call: Call) -> Sequence[TensorType]:
    attr_axes(call)
    return [call.inputs[0]]


def _infer_roll(call: Call) -> Sequence[TensorType]:
    shift, axis = call.attrs["shift"], call.attrs["axis"]
    require(
        len(shift) == len(axis),
        lambda: f"`shift` and `axis` must be equally long; got {shift} and {axis}",
    )
    return _infer_flip(call)


def _infer_triangle(call: Call) -> Sequence[TensorType]:
    require_matrices(call.inputs[0])
    return [call.inputs[0]]


def _batch_same(call: Call, axes: Axes) -> Axes:
    return [axes[0]]


def _infer_diag(call: Call) -> Sequence[TensorType]:
    (x,), k = call.inputs, call.attrs["k"]
    require(x.ndim >= 1, lambda: f"`inputs[0]` must have at least 1 axis; got {x}")
    size = x.shape[-1] + abs(k)
    return [checked(x.dtype, (*x.shape[:-1], size, size))]


def _batch_diag(call: Call, axes: Axes) -> Axes:
    (axis,) = axes
    return [MIXED if axis is None or axis == call.inputs[0].ndim - 1 else axis]


def _op(
    name: str,
    doc: str,
    infer: InferRule,
    batch: BatchRule,
    *,
    view: bool = False,
    **attrs: AttrSpec,
) -> OpDef:
    return OpDef(name, doc, infer, attrs=attrs, batch=batch, operands="x", dtypes="any", view=view)


_AXES = AttrSpec(Kind.INTS, "the axes; negative counts from the end")
_K = AttrSpec(Kind.INT, "the diagonal: 0 the main one, positive above it", 0)
_SHAPE = AttrSpec(Kind.INTS, "the shape of the result")

OPS = (
    _op(
        "broadcast_to",
        "Stretches axes of length 1 and adds axes in front.",
        _infer_broadcast_to,
        _batch_broadcast_to,
        view=True,
        shape=_SHAPE,
    ),
    _op(
        "diag",
        "The matrix (..., n+|k|, n+|k|) with x (..., n) on its k-th diagonal, 0 elsewhere.",
        _infer_diag,
        _batch_diag,
        k=_K,
    ),
    _op(
        "expand_dims",
        "Adds axes of length 1, at these places of the result.",
        _infer_expand_dims,
        _batch_expand_dims,
        view=True,
        axis=_AXES,
    ),
    _op(
        "flip",
        "Reverses the order along axes.",
        _infer_flip,
        along_axis_batch,
        view=True,
        axis=replace(_AXES, omitted=ALL_AXES),
    ),
    _op(
        "matrix_transpose",
        "Swaps the last two axes.",
        _infer_matrix_transpose,
        _batch_matrix_transpose,
        view=True,
    ),
    _op(
        "permute_dims",
        "Axis i of the result is axis axes[i] of x.",
        _infer_permute_dims,
        _batch_permute_dims,
        view=True,
        axes=AttrSpec(Kind.INTS, "all axes in the new order"),
    ),
    _op(
        "reshape",
        "The same elements in row-major order; every length is written out.",
        _infer_reshape,
        _batch_reshape,
        view=True,
        shape=_SHAPE,
    ),
    _op(
        "roll",
        "Moves elements along axes; what passes the end reappears at the start.",
        _infer_roll,
        along_axis_batch,
        axis=_AXES,
        shift=AttrSpec(Kind.INTS, "how far, for each axis"),
    ),
    _op(
        "squeeze", "Drops axes of length 1.", _infer_squeeze, _batch_squeeze, view=True, axis=_AXES
    ),
    _op(
        "tril",
        "Each matrix (..., m, n) with 0 above its k-th diagonal.",
        _infer_triangle,
        _batch_same,
        k=_K,
    ),
    _op(
        "triu",
        "Each matrix (..., m, n) with 0 below its k-th diagonal.",
        _infer_triangle,
        _batch_same,
        k=_K,
    ),
)
