"""Shape, dtype and batch-axis rules that families of ops share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradwire.errors import InvalidInputError
from gradwire.opset.core import (
    BOOL,
    MIXED,
    UINT32,
    Axes,
    Call,
    InferRule,
    fail,
    require,
)
from gradwire.tensors import (
    BFLOAT16,
    Dtype,
    TensorType,
    check_shape,
    is_complex,
    is_inexact,
)

DTYPE_CLASSES: dict[str, Callable[[Dtype], bool]] = {
    "bool": lambda d: d.kind == "b",
    "integer": lambda d: d.kind in "iu",
    "bitwise": lambda d: d.kind in "biu",
    "floating": lambda d: d.kind == "f" or d == BFLOAT16,
    "complex": is_complex,
    "inexact": is_inexact,
    "real": lambda d: d.kind in "iuf" or d == BFLOAT16,
    "ordered": lambda d: d.kind in "biuf" or d == BFLOAT16,
    "numeric": lambda d: d.kind in "iufc" or d == BFLOAT16,
    # What LAPACK and the FFT libraries compute in: no half precision.
    "inexact32": lambda d: d.kind in "fc" and d.itemsize >= 4 and d != BFLOAT16,
    "floating32": lambda d: d.kind == "f" and d.itemsize >= 4,
    # A word of a random generator: keys and seeds.
    "uint32": lambda d: d == UINT32,
    "any": lambda d: True,
}
"""The classes of dtypes that rules and the reference page speak of."""


def check_dtype(dtype: Dtype, wanted: str, what: str) -> None:
    """Raises unless ``dtype`` is in the class ``wanted``."""
    require(DTYPE_CLASSES[wanted](dtype), lambda: f"{what} must be {wanted}; got {dtype.name}")


def checked(dtype: Dtype, shape: Sequence[int]) -> TensorType:
    """Returns the type, if a tensor of it may exist."""
    try:
        check_shape(tuple(shape), "shape")
    except InvalidInputError as error:
        raise fail(f"the result's {error.message}") from None
    return TensorType(dtype, tuple(int(n) for n in shape))


def same_dtype(call: Call, first: int = 0) -> Dtype:
    """Returns the one dtype of the inputs from ``first`` on; raises if there are two.

    The wire has no implicit promotion.
    """
    dtype = call.inputs[first].dtype
    for position, operand in enumerate(call.inputs[first:], first):
        require(
            operand.dtype == dtype,
            lambda p=position, o=operand: (  # type: ignore[misc]
                f"`inputs[{p}]` must have the dtype of `inputs[{first}]`; "
                f"got {o.dtype.name} and {dtype.name}"
            ),
        )
    return dtype


def broadcast_shapes(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Returns the broadcast shape by NumPy's rule; raises if there is none.

    Written out because ``np.broadcast_shapes`` refuses more than 32 operands
    and axes that don't fit the machine's memory.
    """
    ndim = max((len(shape) for shape in shapes), default=0)
    result = [1] * ndim
    for shape in shapes:
        for axis, length in enumerate(shape, ndim - len(shape)):
            if length != 1 and result[axis] not in (1, length):
                raise fail(f"shapes must broadcast; got {' and '.join(map(str, shapes))}")
            if length != 1:
                result[axis] = length
    return tuple(result)


def normal_axis(axis: int, ndim: int, what: str = "axis") -> int:
    """Returns the axis counted from the front; raises if it is out of range."""
    require(
        -ndim <= axis < ndim,
        lambda: f"`{what}` must be from {-ndim} to {ndim - 1} for {ndim} axes; got {axis}",
    )
    return axis % ndim


def normal_axes(axes: Sequence[int], ndim: int, what: str = "axis") -> tuple[int, ...]:
    """Returns the axes counted from the front; raises if one is there twice."""
    normal = tuple(normal_axis(axis, ndim, what) for axis in axes)
    require(len(set(normal)) == len(normal), lambda: f"`{what}` must not repeat; got {axes}")
    return normal


def real_part(dtype: Dtype) -> Dtype:
    """Returns the dtype of the real part of a value of ``dtype``."""
    return np.empty(0, dtype).real.dtype if is_complex(dtype) else dtype


def complex_of(dtype: Dtype) -> Dtype:
    """Returns the complex dtype with parts of the given floating dtype."""
    return np.dtype(np.complex128 if dtype == np.float64 else np.complex64)


def elementwise(wanted: str, result: str = "same") -> InferRule:
    """Makes the rule of an op on broadcast operands of one dtype.

    Args:
        wanted: The class of dtypes that is allowed.
        result: ``same`` as the operands, ``bool``, or ``real`` (the real part
            of a complex dtype).
    """

    def infer(call: Call) -> Sequence[TensorType]:
        dtype = same_dtype(call)
        check_dtype(dtype, wanted, "`inputs`")
        shape = broadcast_shapes([operand.shape for operand in call.inputs])
        out = {"same": dtype, "bool": BOOL, "real": real_part(dtype)}.get(result)
        out = complex_of(dtype) if out is None else out
        return [checked(out, shape)]

    return infer


def elementwise_batch(call: Call, axes: Axes) -> Axes:
    """Batch rule of broadcasting ops: the batch axes, aligned from the right, agree.

    Row b of the output then reads row b of each batched operand; what doesn't
    depend on the batch may have any value there.
    """
    ndim = max(operand.ndim for operand in call.inputs)
    places = {
        axis + ndim - operand.ndim
        for axis, operand in zip(axes, call.inputs, strict=True)
        if axis is not None
    }
    if len(places) != 1:
        return [MIXED]
    (place,) = places
    shape = broadcast_shapes([operand.shape for operand in call.inputs])
    # With one sample nothing can mix, but a stretched axis is not its axis.
    stretched = any(
        axis is not None and operand.shape[axis] != shape[place]
        for axis, operand in zip(axes, call.inputs, strict=True)
    )
    return [MIXED] if stretched else [place]


def reduced_shape(shape: tuple[int, ...], axes: Sequence[int], keepdims: bool) -> tuple[int, ...]:
    """Returns the shape that is left when the axes, counted from the front, are reduced."""
    if keepdims:
        return tuple(1 if axis in axes else length for axis, length in enumerate(shape))
    return tuple(length for axis, length in enumerate(shape) if axis not in axes)


def attr_axes(call: Call, operand: int = 0) -> tuple[int, ...]:
    """Returns the attribute `axis` of an operand, one or several, counted from the front."""
    axis, ndim = call.attrs["axis"], call.inputs[operand].ndim
    return (normal_axis(axis, ndim),) if isinstance(axis, int) else normal_axes(axis, ndim)


def reduction_batch(call: Call, axes: Axes) -> Axes:
    """Batch rule of ops that reduce the attribute `axis`, with or without `keepdims`.

    Every output has lost the reduced axes; those after them move up.
    """
    (place,) = axes
    reduced = attr_axes(call)
    if place is None or place in reduced:
        return [MIXED]
    if call.attrs.get("keepdims", False):
        return [place]
    return [place - sum(axis < place for axis in reduced)]


def along_axis_batch(call: Call, axes: Axes) -> Axes:
    """Batch rule of ops of one operand that keep its axes and mix along `axis` only."""
    (place,) = axes
    return [MIXED if place in attr_axes(call) else place]
