"""The Fourier family."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gradwire.opset.core import MIXED, AttrSpec, Axes, Call, InferRule, Kind, OpDef, fail, require
from gradwire.opset.rules import check_dtype, checked, complex_of, normal_axes, real_part
from gradwire.tensors import Dtype, TensorType, is_complex


def _complex(dtype: Dtype) -> Dtype:
    return dtype if is_complex(dtype) else complex_of(dtype)


def _named(call: Call) -> Sequence[int]:
    return call.attrs["axes"] if "axes" in call.attrs else (call.attrs["axis"],)


def _batch(call: Call, axes: Axes) -> Axes:
    (axis,) = axes
    transformed = normal_axes(_named(call), call.inputs[0].ndim)
    return [MIXED if axis is None or axis in transformed else axis]


def _transform(wanted: str, result: Callable[[Dtype], Dtype], *, half: bool = False) -> InferRule:
    """Makes the rule of a transform over one or several axes, to given lengths.

    Args:
        wanted: The class of dtypes that is allowed.
        result: The result's dtype.
        half: The last axis has only the n // 2 + 1 frequencies that are not
            conjugates of others.
    """

    def infer(call: Call) -> Sequence[TensorType]:
        (x,) = call.inputs
        check_dtype(x.dtype, wanted, "`inputs[0]`")
        axes = normal_axes(_named(call), x.ndim)
        lengths = call.attrs["s"] if "s" in call.attrs else (call.attrs["n"],)
        require(
            len(lengths) == len(axes) > 0,
            lambda: f"`s` and `axes` must be equally long, and not empty; got {lengths}, {axes}",
        )
        shape = list(x.shape)
        for axis, length in zip(axes, lengths, strict=True):
            if length < 1:
                raise fail(f"a transform must have at least 1 element; got {length}")
            shape[axis] = length
        if half:
            shape[axes[-1]] = lengths[-1] // 2 + 1
        checked(x.dtype, shape)
        return [checked(result(x.dtype), shape)]

    return infer


_NORM = AttrSpec(
    Kind.WORD,
    "which way divides by n; ortho: both, by its square root",
    "backward",
    ("backward", "ortho", "forward"),
)
_ONE = {
    "n": AttrSpec(Kind.INT, "the length; x is cut off or filled with 0"),
    "axis": AttrSpec(Kind.INT, "the axis; negative counts from the end"),
    "norm": _NORM,
}
_SEVERAL = {
    "s": AttrSpec(Kind.INTS, "the lengths; x is cut off or filled with 0"),
    "axes": AttrSpec(Kind.INTS, "the axes; negative counts from the end"),
    "norm": _NORM,
}


def _op(
    name: str, wanted: str, result: Callable[[Dtype], Dtype], doc: str, *, half: bool = False
) -> OpDef:
    infer = _transform(wanted, result, half=half)
    attrs = _SEVERAL if name.endswith("n") else _ONE
    return OpDef(f"fft.{name}", doc, infer, attrs=attrs, batch=_batch, operands="x", dtypes=wanted)


OPS = (
    _op("fft", "inexact32", _complex, "The discrete Fourier transform."),
    _op("fftn", "inexact32", _complex, "The discrete Fourier transform over several axes."),
    _op("ifft", "inexact32", _complex, "The inverse of fft."),
    _op("ifftn", "inexact32", _complex, "The inverse of fftn."),
    _op("irfft", "complex", real_part, "The inverse of rfft; n is the length of the real result."),
    _op(
        "irfftn",
        "complex",
        real_part,
        "The inverse of rfftn; s are the lengths of the real result.",
    ),
    _op("rfft", "floating32", _complex, "The first n // 2 + 1 frequencies of a real x.", half=True),
    _op(
        "rfftn",
        "floating32",
        _complex,
        "rfft along the last of the axes, fft along the others.",
        half=True,
    ),
)
