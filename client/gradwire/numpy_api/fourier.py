"""`np.fft`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradwire.numpy_api.registry import (
    implements,
    implements_op,
    normal_axis,
    pinned,
    refuse_options,
    strong,
)
from gradwire.numpy_api.shapes import roll
from gradwire.tensors import Dtype, is_complex, is_inexact
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import apply, as_operand, convert, dtype_of

_SWAPPED = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _norm(norm: Any) -> str:
    if norm not in (None, *_SWAPPED):
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')
    return norm or "backward"


def _operand(a: Any, op: str) -> Traced:
    """Returns an operand in the precision in which NumPy transforms it."""
    x = strong(a)
    dtype: Dtype = x.dtype
    if not is_inexact(dtype):
        dtype = pinned(np.float64)
    elif dtype.itemsize < 4:
        dtype = np.dtype(np.float32)
    if "rfft" in op and "i" not in op and is_complex(dtype):
        raise TypeError(f"np.fft.{op} takes real arrays; got {dtype}")
    if op in ("irfft", "irfftn") and not is_complex(dtype):
        dtype = np.dtype(np.complex64 if dtype.itemsize == 4 else np.complex128)
    return convert(x, dtype)


def _half(a: Any, result: Traced) -> Traced:
    """Returns a real result in half precision if the operand has it, as NumPy does."""
    dtype = dtype_of(as_operand(a))
    return convert(result, dtype) if dtype == np.float16 and result.dtype.kind == "f" else result


def _register(name: str, transform: Callable[..., Traced]) -> Callable[..., Traced]:
    """Registers a transform for the function of NumPy and the op of one name."""
    return implements_op(name)(implements(name)(transform))


def _one_axis(op: str) -> Callable[..., Traced]:
    def transform(
        a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None
    ) -> Traced:
        refuse_options(f"fft.{op}", out=out)
        x = _operand(a, op)
        place = normal_axis(axis, x.ndim)
        length = x.shape[place] if n is None else operator.index(n)
        if n is None and op == "irfft":
            length = 2 * (length - 1)
        if length < 1:
            raise ValueError(f"Invalid number of FFT data points ({length}) specified.")
        return _half(a, apply(f"fft.{op}", x, n=length, axis=place, norm=_norm(norm)))

    return transform


for _name in ("fft", "ifft"):
    _register(f"fft.{_name}", _one_axis(_name))
rfft = _register("fft.rfft", _one_axis("rfft"))
irfft = _register("fft.irfft", _one_axis("irfft"))


@implements("fft.hfft")
def hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Traced:
    """``np.fft.hfft``."""
    return irfft(np.conj(strong(a)), n, axis, _SWAPPED[_norm(norm)], out)


@implements("fft.ihfft")
def ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """``np.fft.ihfft``."""
    return np.conj(rfft(a, n, axis, _SWAPPED[_norm(norm)], out))


def _several_axes(op: str, default: Sequence[int] | None, name: str) -> Callable[..., Traced]:
    def transform(
        a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None
    ) -> Traced:
        refuse_options(f"fft.{name}", out=out)
        x = _operand(a, op)
        if axes is None:
            axes = range(x.ndim) if s is None else range(x.ndim - len(s), x.ndim)
        places = [normal_axis(axis, x.ndim) for axis in axes]
        lengths = [x.shape[place] for place in places]
        if s is not None:
            if len(s) != len(places):
                raise ValueError("Shape and axes have different lengths.")
            # -1 leaves a length as it is.
            asked = [operator.index(length) for length in s]
            lengths = [old if new == -1 else new for old, new in zip(lengths, asked, strict=True)]
        elif op == "irfftn" and places:
            lengths[-1] = 2 * (lengths[-1] - 1)
        if not places:
            refuse(f"np.fft.{name} over no axes can't be traced; leave it out")
        result = apply(f"fft.{op}", x, s=tuple(lengths), axes=tuple(places), norm=_norm(norm))
        # Of several axes, NumPy has transformed all but the last in single precision.
        return _half(a, result) if len(places) == 1 else result

    return transform


for _name in ("fft", "ifft", "rfft", "irfft"):
    _register(f"fft.{_name}n", _several_axes(f"{_name}n", None, f"{_name}n"))
    implements(f"fft.{_name}2")(_several_axes(f"{_name}n", (-2, -1), f"{_name}2"))


def _shift_axes(x: Traced, axes: Any) -> list[int]:
    if axes is None:
        return list(range(x.ndim))
    axes = axes if isinstance(axes, tuple | list) else (axes,)
    return [normal_axis(axis, x.ndim) for axis in axes]


@implements("fft.fftshift")
def fftshift(x: Any, axes: Any = None) -> Traced:
    """``np.fft.fftshift``."""
    value = strong(x)
    places = _shift_axes(value, axes)
    return roll(value, tuple(value.shape[place] // 2 for place in places), tuple(places))


@implements("fft.ifftshift")
def ifftshift(x: Any, axes: Any = None) -> Traced:
    """``np.fft.ifftshift``."""
    value = strong(x)
    places = _shift_axes(value, axes)
    return roll(value, tuple(-(value.shape[place] // 2) for place in places), tuple(places))
