"""Ops that slide a window: convolutions and pools. Part of the nn family.

Strides, dilations and windows have one number for each spatial axis; paddings
have two, before and after.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradwire.opset.core import (
    MIXED,
    AttrSpec,
    Axes,
    Call,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.rules import check_dtype, checked, same_dtype
from gradwire.tensors import TensorType

_STRIDES = AttrSpec(Kind.INTS, "the step along each spatial axis")
_PADDING = AttrSpec(Kind.INTS, "how many zeros before and after each spatial axis")
_DILATION = AttrSpec(Kind.INTS, "the distance of the weights along each spatial axis")
_GROUPS = AttrSpec(Kind.INT, "channels are split into so many independent parts", 1)


def _per_axis(call: Call, name: str, count: int, least: int) -> tuple[int, ...]:
    values: tuple[int, ...] = call.attrs[name]
    require(
        len(values) == count and all(least <= value < 2**31 for value in values),
        lambda: f"`{name}` must hold {count} numbers from {least} to 2**31 - 1; got {values}",
    )
    return values


def _positions(call: Call, spatial: Sequence[int], extents: Sequence[int]) -> list[int]:
    """Returns how many positions windows of these extents have along each axis."""
    strides = _per_axis(call, "strides", len(spatial), 1)
    padding = _per_axis(call, "padding", 2 * len(spatial), 0)
    counts = []
    for axis, (length, extent, stride) in enumerate(zip(spatial, extents, strides, strict=True)):
        padded = length + padding[2 * axis] + padding[2 * axis + 1]
        require(
            padded >= extent,
            lambda a=axis, p=padded, e=extent: (  # type: ignore[misc]
                f"the window must fit into the padded spatial axis {a}; got {e} and {p}"
            ),
        )
        counts.append((padded - extent) // stride + 1)
    return counts


def _convolution(call: Call) -> tuple[TensorType, TensorType, tuple[int, ...], int]:
    """Returns the operands, the extents of the weights along each axis, and the groups."""
    x, weights = call.inputs
    check_dtype(same_dtype(call), "floating", "`inputs`")
    require(
        x.ndim == weights.ndim >= 3,
        lambda: f"`inputs` must have the axes (two, spatial ...) alike; got {x} and {weights}",
    )
    dilation = _per_axis(call, "dilation", x.ndim - 2, 1)
    groups = call.attrs["groups"]
    require(
        groups >= 1 and x.shape[1] % groups == 0 and weights.shape[0] % groups == 0,
        lambda: f"`groups` must divide the channels; got {groups} for {x} and {weights}",
    )
    require(all(weights.shape[2:]), lambda: f"`inputs[1]` must have no empty axis; got {weights}")
    extents = tuple((n - 1) * d + 1 for n, d in zip(weights.shape[2:], dilation, strict=True))
    return x, weights, extents, groups


def _infer_conv(call: Call) -> Sequence[TensorType]:
    x, weights, extents, groups = _convolution(call)
    require(
        weights.shape[1] * groups == x.shape[1],
        lambda: (
            f"`inputs[1]` must have the axes (out, in / groups, spatial ...) for {groups} groups; "
            f"got {weights} for {x}"
        ),
    )
    spatial = _positions(call, x.shape[2:], extents)
    return [checked(x.dtype, (x.shape[0], weights.shape[0], *spatial))]


def _infer_conv_transpose(call: Call) -> Sequence[TensorType]:
    x, weights, extents, groups = _convolution(call)
    require(
        weights.shape[0] == x.shape[1],
        lambda: (
            f"`inputs[1]` must have the axes (in, out / groups, spatial ...); got {weights} for {x}"
        ),
    )
    require(all(x.shape[2:]), lambda: f"`inputs[0]` must have no empty spatial axis; got {x}")
    strides = _per_axis(call, "strides", x.ndim - 2, 1)
    padding = _per_axis(call, "padding", 2 * (x.ndim - 2), 0)
    spatial = [
        (length - 1) * stride + extent - padding[2 * axis] - padding[2 * axis + 1]
        for axis, (length, stride, extent) in enumerate(
            zip(x.shape[2:], strides, extents, strict=True)
        )
    ]
    require(
        all(length >= 1 for length in spatial),
        lambda: f"`padding` must leave something of the result; got {padding} for {spatial}",
    )
    return [checked(x.dtype, (x.shape[0], weights.shape[1] * groups, *spatial))]


def _conv_batch(call: Call, axes: Axes) -> Axes:
    """Samples are the first axis of x; they share the weights."""
    x, weights = axes
    return [0 if x == 0 and weights is None else MIXED]


def _infer_pool(call: Call) -> Sequence[TensorType]:
    (x,) = call.inputs
    check_dtype(x.dtype, "floating", "`inputs`")
    rank = len(call.attrs["window"])
    require(
        1 <= rank <= x.ndim,
        lambda: f"`window` must hold 1 to {x.ndim} numbers, for the last axes; got {rank}",
    )
    window = _per_axis(call, "window", rank, 1)
    padding = _per_axis(call, "padding", 2 * rank, 0)
    # Else a window lies in the padding alone, and has no largest element.
    require(
        all(pad < window[place // 2] for place, pad in enumerate(padding)),
        lambda: f"`padding` must be smaller than `window`; got {padding} and {window}",
    )
    return [checked(x.dtype, (*x.shape[:-rank], *_positions(call, x.shape[-rank:], window)))]


def _pool_batch(call: Call, axes: Axes) -> Axes:
    (place,) = axes
    first = call.inputs[0].ndim - len(call.attrs["window"])
    return [MIXED if place is None or place >= first else place]


def _read_by_kernels(call: Call, outputs: Sequence[TensorType]) -> int:
    return math.prod(call.inputs[1].shape[2:]) * outputs[0].size


def _read_by_pools(call: Call, outputs: Sequence[TensorType]) -> int:
    window: Sequence[int] = call.attrs["window"]
    return math.prod(window) * outputs[0].size


_WINDOW = AttrSpec(Kind.INTS, "the lengths of the window, along the last axes")
_POOLING = {"window": _WINDOW, "strides": _STRIDES, "padding": _PADDING}

OPS = (
    OpDef(
        "nn.avg_pool",
        "The mean of each window of the last axes.",
        _infer_pool,
        attrs=_POOLING
        | {"count_include_pad": AttrSpec(Kind.BOOL, "whether padding counts as zeros", False)},
        batch=_pool_batch,
        window_elements=_read_by_pools,
        operands="x",
        dtypes="floating",
    ),
    OpDef(
        "nn.conv",
        "Cross-correlation of x (samples, in, spatial ...) with weights (out, in / groups, "
        "spatial ...).",
        _infer_conv,
        (2, 2),
        attrs={
            "strides": _STRIDES,
            "padding": _PADDING,
            "dilation": _DILATION,
            "groups": _GROUPS,
        },
        batch=_conv_batch,
        window_elements=_read_by_kernels,
        operands="x, weights",
        dtypes="floating",
    ),
    OpDef(
        "nn.conv_transpose",
        "The transpose of conv: x (samples, in, spatial ...), weights (in, out / groups, "
        "spatial ...).",
        _infer_conv_transpose,
        (2, 2),
        attrs={
            "strides": _STRIDES,
            "padding": AttrSpec(Kind.INTS, "how much is cut off before and after each axis"),
            "dilation": _DILATION,
            "groups": _GROUPS,
        },
        batch=_conv_batch,
        window_elements=_read_by_kernels,
        operands="x, weights",
        dtypes="floating",
    ),
    OpDef(
        "nn.max_pool",
        "The largest element of each window of the last axes; of equal ones the first counts.",
        _infer_pool,
        attrs=_POOLING,
        batch=_pool_batch,
        window_elements=_read_by_pools,
        operands="x",
        dtypes="floating",
    ),
)
