"""The index family: ops that read or write at positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradwire.opset.core import (
    MIXED,
    At,
    AttrSpec,
    Axes,
    ByArray,
    Call,
    InferRule,
    Kind,
    OpDef,
    Range,
    fail,
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
from gradwire.opset.subscripts import Selection, select
from gradwire.tensors import TensorType

_MOST_AXES = 32


def _selected(call: Call) -> Selection:
    return select(call.inputs[0], call.attrs["index"], call.inputs[1:])


def _infer_getitem(call: Call) -> Sequence[TensorType]:
    return [checked(call.inputs[0].dtype, _selected(call).shape)]


def _batch_getitem(call: Call, axes: Axes) -> Axes:
    return [_place_in(_selected(call), call.inputs[1:], axes)]


def _place_in(selection: Selection, arrays: Sequence[TensorType], axes: Axes) -> int:
    """Returns the batch axis of a selection from x by position arrays.

    Either x has the batch axis, which is then taken whole, or arrays have it.
    Both at once, as in ``x[arange(B), i]``, can't be told from the types.
    """
    axis, *of_arrays = axes
    if all(a is None for a in of_arrays):
        return MIXED if axis is None else selection.whole.get(axis, MIXED)
    if axis is not None:
        return MIXED
    (place,) = elementwise_batch(Call(tuple(arrays)), of_arrays)
    return MIXED if place is None or place == MIXED else place + selection.by_arrays


def _infer_update(wanted: str) -> InferRule:
    def infer(call: Call) -> Sequence[TensorType]:
        x, value, *arrays = call.inputs
        check_dtype(x.dtype, wanted, "`inputs[0]`")
        require(
            value.dtype == x.dtype,
            lambda: (
                f"`inputs[1]` must have the dtype of `inputs[0]`; "
                f"got {value.dtype.name} and {x.dtype.name}"
            ),
        )
        shape = select(x, call.attrs["index"], arrays).shape
        require(
            value.ndim <= len(shape) and broadcast_shapes([value.shape, shape]) == shape,
            lambda: f"`inputs[1]` must broadcast to what `index` selects, {shape}; got {value}",
        )
        return [x]

    return infer


def _batch_update(call: Call, axes: Axes) -> Axes:
    """The batch axis is one that the subscript takes whole, in x and in the value."""
    x, value, *arrays = call.inputs
    axis, of_value, *of_arrays = axes
    if any(a is not None for a in of_arrays):
        return [MIXED]
    selection = select(x, call.attrs["index"], arrays)
    if of_value is None:
        return [axis if axis in selection.whole else MIXED]
    place = of_value + len(selection.shape) - value.ndim
    stretched = value.shape[of_value] != selection.shape[place]
    target = {p: a for a, p in selection.whole.items()}.get(place)
    if target is None or stretched or axis not in (None, target):
        return [MIXED]
    return [target]


def _taken(call: Call) -> Selection:
    x, indices = call.inputs
    axis = normal_axis(call.attrs["axis"], x.ndim)
    return select(x, (Range(None, None, None),) * axis + (ByArray(),), [indices])


def _infer_take(call: Call) -> Sequence[TensorType]:
    return [checked(call.inputs[0].dtype, _taken(call).shape)]


def _batch_take(call: Call, axes: Axes) -> Axes:
    return [_place_in(_taken(call), call.inputs[1:], axes)]


def _infer_take_along_axis(call: Call) -> Sequence[TensorType]:
    x, indices = call.inputs
    check_dtype(indices.dtype, "integer", "`inputs[1]`")
    require(x.ndim == indices.ndim, lambda: f"`inputs` must have as many axes; got {x}, {indices}")
    axis = normal_axis(call.attrs["axis"], x.ndim)
    one = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    shape = broadcast_shapes([one, indices.shape])
    require(
        x.shape[axis] or 0 in shape, lambda: f"`axis` must not be empty in `inputs[0]`; got {x}"
    )
    # An axis of indices that is 1 stays 1: it selects one element.
    return [checked(x.dtype, shape)]


def _batch_take_along_axis(call: Call, axes: Axes) -> Axes:
    (result,) = _infer_take_along_axis(call)
    places = {axis for axis in axes if axis is not None}
    place = places.pop()
    stretched = any(
        axis is not None and x.shape[axis] != result.shape[axis]
        for x, axis in zip(call.inputs, axes, strict=True)
    )
    along = place == normal_axis(call.attrs["axis"], result.ndim)
    return [MIXED if places or stretched or along else place]


def _check_starts(x: TensorType, starts: Sequence[TensorType], first: int) -> None:
    require(
        len(starts) == x.ndim,
        lambda: f"`inputs` must hold one start for each axis of {x}; got {len(starts)}",
    )
    for position, start in enumerate(starts, first):
        check_dtype(start.dtype, "integer", f"`inputs[{position}]`")
        if start.ndim:
            raise fail(f"`inputs[{position}]` must be a scalar; got {start}")


def _infer_dynamic_slice(call: Call) -> Sequence[TensorType]:
    x, *starts = call.inputs
    sizes = call.attrs["slice_sizes"]
    _check_starts(x, starts, 1)
    require(
        len(sizes) == x.ndim and all(0 <= s <= n for s, n in zip(sizes, x.shape, strict=True)),
        lambda: f"`slice_sizes` must hold a length that fits each axis of {x}; got {sizes}",
    )
    return [TensorType(x.dtype, sizes)]


def _batch_dynamic_slice(call: Call, axes: Axes) -> Axes:
    x, axis = call.inputs[0], axes[0]
    # A slice as long as its axis starts at 0, whatever its start is.
    whole = axis is not None and call.attrs["slice_sizes"][axis] == x.shape[axis]
    return [axis if whole else MIXED]


def _infer_dynamic_update_slice(call: Call) -> Sequence[TensorType]:
    x, update, *starts = call.inputs
    same_dtype(Call((x, update)))
    _check_starts(x, starts, 2)
    require(
        update.ndim == x.ndim and all(s <= n for s, n in zip(update.shape, x.shape, strict=True)),
        lambda: f"`inputs[1]` must fit into `inputs[0]`; got {update} and {x}",
    )
    return [x]


def _batch_dynamic_update_slice(call: Call, axes: Axes) -> Axes:
    x, update = call.inputs[:2]
    places = {axis for axis in axes if axis is not None}
    place = places.pop()
    return [MIXED if places or update.shape[place] != x.shape[place] else place]


def _is_view(call: Call) -> bool:
    """NumPy copies what position arrays select, and one element."""
    index = call.attrs["index"]
    positions = sum(isinstance(item, At) for item in index)
    return len(call.inputs) == 1 and not positions == len(index) == call.inputs[0].ndim


_AXIS = AttrSpec(Kind.INT, "the axis; negative counts from the end")
_INDEX = {"index": AttrSpec(Kind.INDEX, "the subscript")}
_SUBSCRIPT_INPUTS = (1, _MOST_AXES + 1)


def _update(name: str, wanted: str, doc: str, ufunc: str = "") -> OpDef:
    return OpDef(
        f"index_{name}",
        f"A copy of x in which {doc}",
        _infer_update(wanted),
        (2, _MOST_AXES + 2),
        _INDEX,
        batch=_batch_update,
        operands="x, value, positions...",
        dtypes=wanted,
        ufunc_method=f"{ufunc}.at" if ufunc else "",
    )


OPS = (
    OpDef(
        "dynamic_slice",
        "The slice of a fixed size from computed starts, moved inside x where it would leave it.",
        _infer_dynamic_slice,
        (1, _MOST_AXES + 1),
        {"slice_sizes": AttrSpec(Kind.INTS, "the shape of the slice")},
        batch=_batch_dynamic_slice,
        operands="x, starts...",
        dtypes="any",
    ),
    OpDef(
        "dynamic_update_slice",
        "x with a slice replaced, from computed starts; moved inside as in dynamic_slice.",
        _infer_dynamic_update_slice,
        (2, _MOST_AXES + 2),
        batch=_batch_dynamic_update_slice,
        operands="x, update, starts...",
        dtypes="any",
    ),
    OpDef(
        "getitem",
        "x[index]. Negative positions count from the end; arrays' are clamped to the axis.",
        _infer_getitem,
        _SUBSCRIPT_INPUTS,
        _INDEX,
        batch=_batch_getitem,
        operands="x, positions...",
        dtypes="any",
        view=_is_view,
    ),
    _update("add", "numeric", "x[index] += value; repeated positions add up.", "add"),
    _update(
        "max", "real", "x[index] = max(x[index], value); ties share the derivative.", "maximum"
    ),
    _update(
        "min", "real", "x[index] = min(x[index], value); ties share the derivative.", "minimum"
    ),
    _update("multiply", "numeric", "x[index] *= value; repeated positions multiply.", "multiply"),
    _update("set", "any", "x[index] = value; of repeated positions any one wins."),
    OpDef(
        "take",
        "x at positions along one axis, whose place their axes take; clamped as in getitem.",
        _infer_take,
        (2, 2),
        {"axis": _AXIS},
        batch=_batch_take,
        operands="x, positions",
        dtypes="any",
        own_dtype=(1,),
    ),
    OpDef(
        "take_along_axis",
        "x at one position along an axis for each element of positions; clamped as in getitem.",
        _infer_take_along_axis,
        (2, 2),
        {"axis": replace(_AXIS, omitted=-1)},
        batch=_batch_take_along_axis,
        operands="x, positions",
        dtypes="any",
        own_dtype=(1,),
    ),
)
