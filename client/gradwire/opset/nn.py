"""Layers of neural networks that are more than a few other ops, or better than those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradwire.opset.core import (
    BOOL,
    MIXED,
    AttrSpec,
    Axes,
    Call,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.rules import (
    along_axis_batch,
    attr_axes,
    broadcast_shapes,
    check_dtype,
    checked,
    elementwise,
    elementwise_batch,
    same_dtype,
)
from gradwire.opset.windows import OPS as WINDOW_OPS
from gradwire.tensors import TensorType

_AXES = AttrSpec(Kind.INTS, "the axes over which the exponentials add to 1", omitted=-1)


def _activation(
    name: str,
    doc: str,
    attrs: Mapping[str, AttrSpec] | None = None,
    ufuncs: tuple[str, ...] = (),
) -> OpDef:
    return OpDef(
        f"nn.{name}",
        doc,
        elementwise("floating"),
        attrs=attrs or {},
        batch=elementwise_batch,
        operands="x",
        dtypes="floating",
        ufuncs=ufuncs,
    )


def _infer_softmax(call: Call) -> Sequence[TensorType]:
    (x,) = call.inputs
    check_dtype(x.dtype, "floating", "`inputs[0]`")
    attr_axes(call)
    return [x]


def _softmax(name: str, doc: str) -> OpDef:
    return OpDef(
        f"nn.{name}",
        doc,
        _infer_softmax,
        attrs={"axis": _AXES},
        batch=along_axis_batch,
        operands="x",
        dtypes="floating",
    )


def _infer_attention(call: Call) -> Sequence[TensorType]:
    query, key, value = call.inputs[:3]
    dtype = same_dtype(Call(call.inputs[:3]))
    check_dtype(dtype, "floating", "`inputs`")
    for place, operand in enumerate((query, key, value)):
        require(
            operand.ndim == query.ndim >= 3 and operand.shape[:-3] == query.shape[:-3],
            lambda p=place, o=operand: (  # type: ignore[misc]
                f"`inputs[{p}]` must have the axes (..., length, heads, features), with those "
                f"before as in `inputs[0]`; got {o} and {query}"
            ),
        )
    *lead, length, heads, features = query.shape
    source, groups, _ = key.shape[-3:]
    require(
        key.shape[-1] == features,
        lambda: f"`inputs[1]` must have the features of `inputs[0]`; got {key} and {query}",
    )
    require(
        value.shape[-3:-1] == (source, groups),
        lambda: f"`inputs[2]` must have the length and heads of `inputs[1]`; got {value} and {key}",
    )
    require(
        groups > 0 and heads % groups == 0,
        lambda: f"the heads of `inputs[1]` must divide those of `inputs[0]`; got {groups}, {heads}",
    )
    scores = (*lead, heads, length, source)
    for mask in call.inputs[3:]:
        require(
            mask.dtype == BOOL and broadcast_shapes([mask.shape, scores]) == scores,
            lambda m=mask: f"`inputs[3]` must be bool and broadcast to {scores}; got {m}",  # type: ignore[misc]
        )
    return [checked(dtype, (*query.shape[:-1], value.shape[-1]))]


def _attention_batch(call: Call, axes: Axes) -> Axes:
    """Each of the leading axes holds problems of their own."""
    lead = call.inputs[0].ndim - 3
    places = set()
    for operand, axis in zip(call.inputs, axes, strict=True):
        if axis is not None:
            place = axis + lead + 3 - operand.ndim
            stretched = place < lead and operand.shape[axis] != call.inputs[0].shape[place]
            places.add(MIXED if stretched else place)
    (place, *others) = places
    return [MIXED if others or not 0 <= place < lead else place]


def _infer_resize(call: Call) -> Sequence[TensorType]:
    (x,) = call.inputs
    check_dtype(x.dtype, "inexact", "`inputs`")
    shape: tuple[int, ...] = call.attrs["shape"]
    require(
        len(shape) == x.ndim
        and all((n > 0) == (old > 0) for n, old in zip(shape, x.shape, strict=True)),
        lambda: f"`shape` must have a length for each axis of {x.shape}, 0 for 0; got {shape}",
    )
    return [checked(x.dtype, shape)]


def _resize_batch(call: Call, axes: Axes) -> Axes:
    (axis,) = axes
    assert axis is not None
    return [axis if call.attrs["shape"][axis] == call.inputs[0].shape[axis] else MIXED]


OPS = (
    _activation(
        "elu",
        "x for x > 0, alpha * expm1(x) below; at 0 the derivative is alpha.",
        {"alpha": AttrSpec(Kind.FLOAT, "minus the limit far below 0", 1.0)},
    ),
    _activation(
        "gelu",
        "x * ndtr(x), or its approximation by tanh.",
        {"approximate": AttrSpec(Kind.BOOL, "whether to approximate by tanh", False)},
    ),
    _activation(
        "leaky_relu",
        "x for x >= 0, negative_slope * x below; at 0 the derivative is 1.",
        {"negative_slope": AttrSpec(Kind.FLOAT, "the slope below 0", 0.01)},
    ),
    _activation(
        "log_sigmoid",
        "log(expit(x)), accurate far below 0.",
        ufuncs=("scipy.special.log_expit",),
    ),
    _activation("mish", "x * tanh(softplus(x))."),
    _activation("relu", "max(x, 0); at 0 the derivative is 0."),
    _activation("selu", "elu with the scale that keeps mean and variance."),
    _activation("silu", "x * expit(x)."),
    _activation("softplus", "log(1 + exp(x)) without overflow."),
    _softmax("log_softmax", "x - logsumexp(x)."),
    _softmax("softmax", "exp(x) / sum(exp(x)) without overflow."),
    OpDef(
        "nn.resize",
        "Another length for each axis, sampled at (i + 1/2) * old / new - 1/2 between the "
        "elements, edges held; no smoothing when it shrinks.",
        _infer_resize,
        attrs={
            "shape": AttrSpec(Kind.INTS, "the shape of the result"),
            "method": AttrSpec(
                Kind.WORD, "how elements are read between", "linear", choices=("nearest", "linear")
            ),
        },
        batch=_resize_batch,
        operands="x",
        dtypes="inexact",
    ),
    OpDef(
        "nn.dot_product_attention",
        "softmax(scale * query · key) · value, for operands (..., length, heads, features); a "
        "query whose keys are all masked gives 0.",
        _infer_attention,
        (3, 4),
        attrs={
            "scale": AttrSpec(Kind.FLOAT, "usually 1 / sqrt(features)"),
            "is_causal": AttrSpec(Kind.BOOL, "whether query t sees keys 0 to t only", False),
        },
        batch=_attention_batch,
        operands="query, key, value, [mask]",
        dtypes="floating",
        own_dtype=(3,),
    ),
    *WINDOW_OPS,
)
