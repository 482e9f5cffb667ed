"""The index family: ops that sort, and ops that find positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradwire.opset.core import (
    INT64,
    MIXED,
    AttrSpec,
    Axes,
    BatchRule,
    Call,
    Derivatives,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.rules import (
    along_axis_batch,
    check_dtype,
    checked,
    normal_axis,
    same_dtype,
)
from gradwire.tensors import TensorType


def _infer_sort(call: Call) -> Sequence[TensorType]:
    (x,) = call.inputs
    check_dtype(x.dtype, "ordered", "`inputs[0]`")
    normal_axis(call.attrs["axis"], x.ndim)
    return [x]


def _infer_argsort(call: Call) -> Sequence[TensorType]:
    return [TensorType(INT64, _infer_sort(call)[0].shape)]


def _infer_top_k(call: Call) -> Sequence[TensorType]:
    (x,), k = call.inputs, call.attrs["k"]
    check_dtype(x.dtype, "ordered", "`inputs[0]`")
    require(
        x.ndim and 0 <= k <= x.shape[-1],
        lambda: f"`k` must be from 0 to the length of the last axis of {x}; got {k}",
    )
    shape = (*x.shape[:-1], k)
    return [TensorType(x.dtype, shape), checked(INT64, shape)]


def _batch_top_k(call: Call, axes: Axes) -> Axes:
    axis = axes[0]
    return [MIXED if axis is None or axis == call.inputs[0].ndim - 1 else axis] * 2


def _require_vector(x: TensorType, position: int) -> None:
    require(
        x.ndim == 1 and x.size, lambda: f"`inputs[{position}]` must be a filled vector; got {x}"
    )


def _infer_searchsorted(call: Call) -> Sequence[TensorType]:
    x, values = call.inputs
    check_dtype(same_dtype(call), "real", "`inputs`")
    require(x.ndim == 1, lambda: f"`inputs[0]` must be a vector; got {x}")
    return [checked(INT64, values.shape)]


def _batch_values(position: int) -> BatchRule:
    """Each element of one input is looked up in the others, which have no batch axis."""

    def batch(call: Call, axes: Axes) -> Axes:
        others = [axis for place, axis in enumerate(axes) if place != position]
        return [axes[position] if others == [None] * len(others) else MIXED]

    return batch


def _infer_one_hot(call: Call) -> Sequence[TensorType]:
    (x,), num_classes = call.inputs, call.attrs["num_classes"]
    check_dtype(x.dtype, "integer", "`inputs[0]`")
    return [checked(call.attrs["dtype"], (*x.shape, num_classes))]


def _infer_interp(call: Call) -> Sequence[TensorType]:
    x, xp, fp = call.inputs
    dtype = same_dtype(call)
    check_dtype(dtype, "floating", "`inputs`")
    _require_vector(xp, 1)
    require(xp.shape == fp.shape, lambda: f"`inputs[2]` must be as long as {xp}; got {fp}")
    return [x]


_SORT = {
    "axis": AttrSpec(Kind.INT, "the axis; negative counts from the end", omitted=-1),
    "descending": AttrSpec(Kind.BOOL, "from the largest to the smallest", False),
    "stable": AttrSpec(Kind.BOOL, "equal elements keep their order", True),
}

OPS = (
    OpDef(
        "argsort",
        "The positions that sort x along an axis; NaN counts as the largest.",
        _infer_argsort,
        attrs=_SORT,
        derivatives=Derivatives.ZERO,
        batch=along_axis_batch,
        operands="x",
        dtypes="ordered",
    ),
    OpDef(
        "interp",
        "Linear interpolation of the points (xp, fp), xp rising; of equal ones the last counts; "
        "constant beyond its ends.",
        _infer_interp,
        (3, 3),
        batch=_batch_values(0),
        operands="x, xp, fp",
        dtypes="floating",
    ),
    OpDef(
        "one_hot",
        "1 at the position that x names along a new last axis, else 0; all 0 outside it.",
        _infer_one_hot,
        attrs={
            "num_classes": AttrSpec(Kind.INT, "the length of the new axis"),
            "dtype": AttrSpec(Kind.DTYPE, "the dtype of the result", omitted=np.float64),
        },
        derivatives=Derivatives.ZERO,
        batch=_batch_values(0),
        operands="x",
        dtypes="integer",
    ),
    OpDef(
        "searchsorted",
        "Where each value would be inserted into the sorted vector x.",
        _infer_searchsorted,
        (2, 2),
        {"side": AttrSpec(Kind.WORD, "before or after equal ones", "left", ("left", "right"))},
        Derivatives.ZERO,
        batch=_batch_values(1),
        operands="x, values",
        dtypes="real",
    ),
    OpDef(
        "sort",
        "x sorted along an axis; NaN counts as the largest.",
        _infer_sort,
        attrs=_SORT,
        batch=along_axis_batch,
        operands="x",
        dtypes="ordered",
    ),
    OpDef(
        "top_k",
        "The k largest along the last axis, largest first, and their positions.",
        _infer_top_k,
        attrs={"k": AttrSpec(Kind.INT, "how many")},
        batch=_batch_top_k,
        operands="x",
        dtypes="ordered",
    ),
)
