"""The linear-algebra family: products of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gradwire.opset.core import (
    AttrSpec,
    Call,
    InferRule,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.labels import (
    Label,
    Labelled,
    contraction_path,
    label_lengths,
    labelled_batch,
    leading,
    parse_subscripts,
)
from gradwire.opset.rules import (
    broadcast_shapes,
    check_dtype,
    checked,
    normal_axes,
    same_dtype,
)
from gradwire.tensors import Dtype, TensorType

MOST_EINSUM_OPERANDS = 16


def _numeric(call: Call) -> Dtype:
    dtype = same_dtype(call)
    check_dtype(dtype, "numeric", "`inputs`")
    return dtype


def _matmul_labels(call: Call) -> tuple[Labelled, Labelled]:
    x, y = call.inputs
    lead = leading(max(x.ndim - 2, y.ndim - 2, 0))
    rows: tuple[Label, ...] = ("row",) if x.ndim > 1 else ()
    columns: tuple[Label, ...] = ("column",) if y.ndim > 1 else ()
    left = (*leading(max(x.ndim - 2, 0)), *rows, "sum")
    right = (*leading(max(y.ndim - 2, 0)), "sum", *columns)
    return (left, right), ((*lead, *rows, *columns),)


def _infer_matmul(call: Call) -> Sequence[TensorType]:
    dtype = _numeric(call)
    x, y = call.inputs
    require(x.ndim and y.ndim, lambda: f"`inputs` must not be scalars; got {x} and {y}")
    summed = y.shape[-2] if y.ndim > 1 else y.shape[0]
    require(
        x.shape[-1] == summed,
        lambda: f"`inputs[0]` must have as many columns as `inputs[1]` has rows; got {x} and {y}",
    )
    lead = broadcast_shapes([x.shape[:-2], y.shape[:-2]])
    rows = x.shape[-2:-1]
    columns = y.shape[-1:] if y.ndim > 1 else ()
    return [checked(dtype, (*lead, *rows, *columns))]


def _along(x: TensorType, axis: int, label: Label) -> tuple[Label, ...]:
    """Labels one axis, counted from the end; the rest broadcasts."""
    rest = list(leading(x.ndim - 1))
    place = x.ndim + axis
    return (*rest[:place], label, *rest[place:])


def _check_along(call: Call) -> int:
    """Returns ``axis``, which counts from the end so that it means the same in both inputs."""
    axis: int = call.attrs["axis"]
    least = min(x.ndim for x in call.inputs)
    require(
        -least <= axis <= -1,
        lambda: (
            f"`axis` must be from {-least} to -1 for {call.inputs[0]} and {call.inputs[1]}; "
            f"got {axis}"
        ),
    )
    return axis


def _rest_shape(call: Call, axis: int) -> tuple[int, ...]:
    shapes = []
    for x in call.inputs:
        place = x.ndim + axis
        shapes.append(x.shape[:place] + x.shape[place + 1 :])
    return broadcast_shapes(shapes)


def _vecdot_labels(call: Call) -> tuple[Labelled, Labelled]:
    operands = tuple(_along(x, call.attrs["axis"], "sum") for x in call.inputs)
    return operands, (leading(max(x.ndim for x in call.inputs) - 1),)


def _infer_vecdot(call: Call) -> Sequence[TensorType]:
    dtype, axis = _numeric(call), _check_along(call)
    x, y = call.inputs
    require(
        x.shape[axis] == y.shape[axis],
        lambda: f"`inputs` must be equally long along axis {axis}; got {x} and {y}",
    )
    return [checked(dtype, _rest_shape(call, axis))]


def _cross_labels(call: Call) -> tuple[Labelled, Labelled]:
    axis: int = call.attrs["axis"]
    operands = tuple(_along(x, axis, "from") for x in call.inputs)
    return operands, (_along(max(call.inputs, key=lambda x: x.ndim), axis, "to"),)


def _infer_cross(call: Call) -> Sequence[TensorType]:
    dtype, axis = _numeric(call), _check_along(call)
    x, y = call.inputs
    require(
        x.shape[axis] == y.shape[axis] == 3,
        lambda: f"`inputs` must have length 3 along axis {axis}; got {x} and {y}",
    )
    rest = _rest_shape(call, axis)
    place = len(rest) + 1 + axis
    return [checked(dtype, (*rest[:place], 3, *rest[place:]))]


def _tensordot_axes(call: Call) -> tuple[tuple[int, ...], tuple[int, ...]]:
    x, y = call.inputs
    left = normal_axes(call.attrs["x_axes"], x.ndim, "x_axes")
    right = normal_axes(call.attrs["y_axes"], y.ndim, "y_axes")
    return left, right


def _tensordot_labels(call: Call) -> tuple[Labelled, Labelled]:
    x, y = call.inputs
    left, right = _tensordot_axes(call)
    of_x: list[Label] = [("x", axis) for axis in range(x.ndim)]
    of_y: list[Label] = [("y", axis) for axis in range(y.ndim)]
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        of_x[a] = of_y[b] = ("sum", number)
    free_x = (of_x[axis] for axis in range(x.ndim) if axis not in left)
    free_y = (of_y[axis] for axis in range(y.ndim) if axis not in right)
    return (tuple(of_x), tuple(of_y)), ((*free_x, *free_y),)


def _infer_tensordot(call: Call) -> Sequence[TensorType]:
    dtype = _numeric(call)
    x, y = call.inputs
    left, right = _tensordot_axes(call)
    summed = [x.shape[axis] for axis in left], [y.shape[axis] for axis in right]
    require(
        summed[0] == summed[1],
        lambda: f"`x_axes` and `y_axes` must have the same lengths; got {summed[0]}, {summed[1]}",
    )
    free_x = (n for axis, n in enumerate(x.shape) if axis not in left)
    free_y = (n for axis, n in enumerate(y.shape) if axis not in right)
    return [checked(dtype, (*free_x, *free_y))]


def _einsum_labels(call: Call) -> tuple[Labelled, Labelled]:
    terms, out = parse_subscripts(call.attrs["subscripts"], [x.ndim for x in call.inputs])
    return tuple(tuple(term) for term in terms), (tuple(out),)


def _infer_einsum(call: Call) -> Sequence[TensorType]:
    dtype = _numeric(call)
    terms, out = parse_subscripts(call.attrs["subscripts"], [x.ndim for x in call.inputs])
    lengths = label_lengths(terms, [x.shape for x in call.inputs])
    contraction_path(terms, out, dtype, lengths)
    return [checked(dtype, [lengths[label] for label in out])]


def _outer_labels(call: Call) -> tuple[Labelled, Labelled]:
    return (("row",), ("column",)), (("row", "column"),)


def _infer_outer(call: Call) -> Sequence[TensorType]:
    dtype = _numeric(call)
    x, y = call.inputs
    require(x.ndim == y.ndim == 1, lambda: f"`inputs` must be vectors; got {x} and {y}")
    return [checked(dtype, (*x.shape, *y.shape))]


def _infer_kron(call: Call) -> Sequence[TensorType]:
    dtype = _numeric(call)
    ndim = max(x.ndim for x in call.inputs)
    x, y = ((1,) * (ndim - operand.ndim) + operand.shape for operand in call.inputs)
    return [checked(dtype, [a * b for a, b in zip(x, y, strict=True)])]


def _product(
    name: str,
    doc: str,
    infer: InferRule,
    labels: Callable[[Call], tuple[Labelled, Labelled]] | None,
    **attrs: AttrSpec,
) -> OpDef:
    batch = labelled_batch(labels) if labels else None
    return OpDef(name, doc, infer, (2, 2), attrs, batch=batch, operands="x, y", dtypes="numeric")


_FROM_END = AttrSpec(Kind.INT, "the axis of both, counted from the end", -1)

OPS = (
    _product(
        "cross",
        "The cross product of vectors of length 3 along an axis; other axes broadcast.",
        _infer_cross,
        _cross_labels,
        axis=_FROM_END,
    ),
    OpDef(
        "einsum",
        f"Einstein's sum of up to {MOST_EINSUM_OPERANDS} operands, explicit form without "
        "ellipsis; contracted pairwise, the smallest intermediate first.",
        _infer_einsum,
        (1, MOST_EINSUM_OPERANDS),
        {"subscripts": AttrSpec(Kind.WORD, "such as ij,jk->ik; a letter has one length")},
        batch=labelled_batch(_einsum_labels),
        operands="x...",
        dtypes="numeric",
    ),
    _product("kron", "The Kronecker product.", _infer_kron, None),
    _product(
        "matmul",
        "The matrix product; axes in front broadcast, a vector is a row or a column.",
        _infer_matmul,
        _matmul_labels,
    ),
    _product("outer", "The products x[i] * y[j] of two vectors.", _infer_outer, _outer_labels),
    _product(
        "tensordot",
        "Sums over pairs of axes; the other axes of x, then those of y.",
        _infer_tensordot,
        _tensordot_labels,
        x_axes=AttrSpec(Kind.INTS, "the axes of x to sum over"),
        y_axes=AttrSpec(Kind.INTS, "their partners in y"),
    ),
    _product(
        "vecdot",
        "Sums conj(x) * y along an axis; other axes broadcast.",
        _infer_vecdot,
        _vecdot_labels,
        axis=_FROM_END,
    ),
)
