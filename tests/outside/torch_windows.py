"""PyTorch's convolutions and pools in gradwire's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gradwire as gw
from outside.torch_words import Pair, not_offered

ops = gw.ops


def each(value: Any, count: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    return values * count if len(values) == 1 else values


def _both(padding: Sequence[int]) -> tuple[int, ...]:
    """Padding before and after each axis."""
    return tuple(p for p in padding for _ in range(2))


def _conv(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    if x.dtype.kind == "c":
        not_offered("complex")
    count = weight.ndim - 2
    lone = x.ndim == count + 1
    dilation = each(dilation, count)
    pads: Any
    if padding == "valid":
        pads = (0,) * (2 * count)
    elif padding == "same":
        reach = [d * (n - 1) for d, n in zip(dilation, weight.shape[2:], strict=True)]
        pads = tuple(p for r in reach for p in (r // 2, r - r // 2))
    else:
        pads = _both(each(padding, count))
    y = ops.nn.conv(
        x[None] if lone else x,
        weight,
        strides=each(stride, count),
        padding=pads,
        dilation=dilation,
        groups=groups,
    )
    return _with_bias(y, bias, lone)


def _with_bias(y: Any, bias: Any, lone: bool) -> Any:
    if bias is not None:
        y = y + bias[(slice(None), *(None,) * (y.ndim - 2))]
    return y[0] if lone else y


def _conv_transpose(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    count = weight.ndim - 2
    lone = x.ndim == count + 1
    if any(each(output_padding, count)) or x.dtype.kind == "c":
        not_offered("output_padding")
    y = ops.nn.conv_transpose(
        x[None] if lone else x,
        weight,
        strides=each(stride, count),
        padding=_both(each(padding, count)),
        dilation=each(dilation, count),
        groups=groups,
    )
    return _with_bias(y, bias, lone)


def _avg_pool(
    count: int,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Any:
    if ceil_mode or divisor_override:
        not_offered("ceil_mode")
    window = each(kernel_size, count)
    return ops.nn.avg_pool(
        x,
        window=window,
        strides=each(stride or window, count),
        padding=_both(each(padding, count)),
        count_include_pad=count_include_pad,
    )


def _max_pool(
    count: int,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if ceil_mode or set(each(dilation, count)) != {1}:
        not_offered("ceil_mode")
    window = each(kernel_size, count)
    return ops.nn.max_pool(
        x,
        window=window,
        strides=each(stride or window, count),
        padding=_both(each(padding, count)),
    )


def _adaptive(
    pool: Callable[..., Any], count: int, x: Any, size: Any, return_indices: Any = False
) -> Any:
    lengths = x.shape[-count:]
    new = [o if n is None else n for n, o in zip(each(size, count), lengths, strict=True)]
    if any(n == 0 or o % n for n, o in zip(new, lengths, strict=True)):
        not_offered("windows of several lengths")
    window = tuple(o // n for n, o in zip(new, lengths, strict=True))
    return pool(x, window=window, strides=window, padding=(0,) * (2 * count))


def _first_of(theirs: Any) -> Any:
    return theirs[0] if isinstance(theirs, tuple) else theirs


WINDOWS: dict[str, Callable[..., Any] | Pair] = {
    **{f"nn.functional.conv{n}d": _conv for n in (1, 2, 3)},
    **{f"nn.functional.conv_transpose{n}d": _conv_transpose for n in (1, 2, 3)},
    **{f"nn.functional.avg_pool{n}d": partial(_avg_pool, n) for n in (1, 2, 3)},
    **{f"nn.functional.max_pool{n}d": Pair(partial(_max_pool, n), _first_of) for n in (1, 2, 3)},
    **{
        f"nn.functional.adaptive_avg_pool{n}d": partial(_adaptive, ops.nn.avg_pool, n)
        for n in (1, 2, 3)
    },
    **{
        f"nn.functional.adaptive_max_pool{n}d": Pair(
            partial(_adaptive, ops.nn.max_pool, n), _first_of
        )
        for n in (1, 2, 3)
    },
}
"""By the name in OpInfo."""
