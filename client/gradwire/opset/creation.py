"""The creation family: arrays from attributes and scalars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradwire.opset.core import (
    MIXED,
    AttrSpec,
    Axes,
    Call,
    Derivatives,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.rules import (
    broadcast_shapes,
    check_dtype,
    checked,
    elementwise_batch,
    normal_axis,
    same_dtype,
)
from gradwire.tensors import TensorType

_DTYPE = AttrSpec(Kind.DTYPE, "the dtype of the result")


def _infer_eye(call: Call) -> Sequence[TensorType]:
    return [checked(call.attrs["dtype"], (call.attrs["n_rows"], call.attrs["n_cols"]))]


def _infer_full(call: Call) -> Sequence[TensorType]:
    (value,) = call.inputs
    require(value.shape == (), lambda: f"`inputs[0]` must be a scalar; got {value}")
    return [checked(value.dtype, call.attrs["shape"])]


def _infer_iota(call: Call) -> Sequence[TensorType]:
    check_dtype(call.attrs["dtype"], "numeric", "`dtype`")
    result = checked(call.attrs["dtype"], call.attrs["shape"])
    normal_axis(call.attrs["axis"], result.ndim)
    return [result]


def _infer_linspace(call: Call) -> Sequence[TensorType]:
    dtype = same_dtype(call)
    check_dtype(dtype, "inexact", "`inputs`")
    shape = broadcast_shapes([operand.shape for operand in call.inputs])
    return [checked(dtype, (call.attrs["num"], *shape))]


def _linspace_batch(call: Call, axes: Axes) -> Axes:
    return [
        place if place in (None, MIXED) else place + 1 for place in elementwise_batch(call, axes)
    ]


OPS = (
    OpDef(
        "eye",
        "Ones on one diagonal of a matrix, zeros elsewhere.",
        _infer_eye,
        (0, 0),
        attrs={
            "dtype": replace(_DTYPE, omitted=np.float64),
            "n_rows": AttrSpec(Kind.INT, "the number of rows"),
            "n_cols": AttrSpec(Kind.INT, "the number of columns"),
            "k": AttrSpec(Kind.INT, "the diagonal: 0 the main one, above it positive", 0),
        },
        derivatives=Derivatives.ZERO,
        dtypes="any",
    ),
    OpDef(
        "full",
        "An array that holds a scalar everywhere.",
        _infer_full,
        attrs={"shape": AttrSpec(Kind.INTS, "the shape of the result")},
        operands="value",
        dtypes="any",
    ),
    OpDef(
        "iota",
        "0, 1, 2 ... along one axis.",
        _infer_iota,
        (0, 0),
        attrs={
            "dtype": replace(_DTYPE, omitted=np.int64),
            "shape": AttrSpec(Kind.INTS, "the shape of the result"),
            "axis": AttrSpec(Kind.INT, "the axis along which it counts", 0),
        },
        derivatives=Derivatives.ZERO,
        dtypes="numeric",
    ),
    OpDef(
        "linspace",
        "`num` evenly spaced numbers from start to stop, along a new first axis.",
        _infer_linspace,
        (2, 2),
        attrs={
            "num": AttrSpec(Kind.INT, "how many"),
            "endpoint": AttrSpec(Kind.BOOL, "whether the last one is stop", True),
        },
        batch=_linspace_batch,
        operands="start, stop",
        dtypes="inexact",
    ),
)
