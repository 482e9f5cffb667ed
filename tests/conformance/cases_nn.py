"""Cases of the nn family, against formulas written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import scipy.special

from conformance.harness import FLOATS, INEXACT, Case, Rng, distinct, literal, nonzero, normal
from gradwire.tensors import Array, Dtype

DOUBLE = ("float32", "float64")
SELU_ALPHA = 1.6732632423543772848170429916717  # Klambauer and others, 2017, formula 14
SELU_SCALE = 1.0507009873554804934193349852946


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _gelu(x: Array, approximate: bool = False) -> Array:
    if approximate:
        return np.asarray(x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))
    return np.asarray(x * scipy.special.ndtr(x))


def _leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    return np.where(x >= 0, x, negative_slope * x)


def activation(function: str, reference: Callable[..., Any], **options: Any) -> Case:
    return Case(
        f"nn.{function}", lambda r, d: [nonzero(r, d, (2, 3))], reference, FLOATS, **options
    )


def far(function: str, reference: Callable[..., Any], **options: Any) -> Case:
    """A case at numbers whose exponential overflows."""
    return Case(
        f"nn.{function}",
        lambda r, d: [literal(d, [-2000.0, -40, 40, 2000])],
        reference,
        DOUBLE,
        name="far",
        **options,
    )


def _attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    scale: float = 1.0,
    is_causal: bool = False,
) -> Array:
    *lead, length, heads, _ = query.shape
    source, groups = key.shape[-3:-1]
    result = np.zeros((*lead, length, heads, value.shape[-1]))
    seen = np.ones((*lead, heads, length, source), bool)
    if mask is not None:
        seen &= mask
    if is_causal:
        seen &= np.tri(length, source, dtype=bool)
    for at in np.ndindex(*lead, length, heads):
        *batch, t, head = at
        group = head // (heads // groups)
        keys, values = key[(*batch, slice(None), group)], value[(*batch, slice(None), group)]
        visible = seen[(*batch, head, t)]
        if visible.any():
            scores = scale * keys[visible] @ query[at]
            result[at] = scipy.special.softmax(scores) @ values[visible]
    return result


def _qkv(
    heads: int, groups: int, mask: Sequence[int] = ()
) -> Callable[[Rng, Dtype], Sequence[Array]]:
    def make(rng: Rng, dtype: Dtype) -> list[Array]:
        operands = [
            normal(rng, dtype, (2, 3, heads, 2)),
            normal(rng, dtype, (2, 4, groups, 2)),
            normal(rng, dtype, (2, 4, groups, 3)),
        ]
        if mask:
            seen = rng.random(mask) < 0.6
            seen[..., 0, :] = False  # the first query sees nothing
            operands.append(seen)
        return operands

    return make


def _windows(
    x: Array, extents: Sequence[int], strides: Sequence[int], padding: Sequence[int], fill: float
) -> Array:
    """Returns (..., positions ..., window ...) over the last axes."""
    lead = x.ndim - len(extents)
    pads = [(0, 0)] * lead + list(zip(padding[::2], padding[1::2], strict=True))
    padded = np.pad(x, pads, constant_values=fill)
    axes = tuple(range(lead, x.ndim))
    view = np.lib.stride_tricks.sliding_window_view(padded, tuple(extents), axes)
    steps = (slice(None),) * lead + tuple(slice(None, None, stride) for stride in strides)
    return np.asarray(view[steps])


def _conv(
    x: Array,
    weights: Array,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
) -> Array:
    rank = x.ndim - 2
    extents = [(n - 1) * d + 1 for n, d in zip(weights.shape[2:], dilation, strict=True)]
    view = _windows(x, extents, strides, padding, 0)
    view = view[(..., *(slice(None, None, d) for d in dilation))]
    outputs = []
    per_in, per_out = x.shape[1] // groups, weights.shape[0] // groups
    for group in range(groups):
        part = view[:, group * per_in : (group + 1) * per_in]
        kernel = weights[group * per_out : (group + 1) * per_out]
        axes = [1, *range(part.ndim - rank, part.ndim)]
        product = np.tensordot(part, kernel, (axes, range(1, kernel.ndim)))
        outputs.append(np.moveaxis(product, -1, 1))
    return np.concatenate(outputs, 1)


def _conv_transpose(
    x: Array,
    weights: Array,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
) -> Array:
    """Each element of x lays the weights into the result; then the padding is cut off."""
    per_in, per_out = x.shape[1] // groups, weights.shape[1]
    kernel = weights.shape[2:]
    full = [
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(x.shape[2:], strides, kernel, dilation, strict=True)
    ]
    result = np.zeros((x.shape[0], groups * per_out, *full))
    for at in np.ndindex(*x.shape[2:]):
        for tap in np.ndindex(*kernel):
            place = tuple(
                i * s + k * d for i, s, k, d in zip(at, strides, tap, dilation, strict=True)
            )
            for group, channel in product(range(groups), range(per_in)):
                source = group * per_in + channel
                target = slice(group * per_out, (group + 1) * per_out)
                spread = np.multiply.outer(
                    x[(slice(None), source, *at)], weights[(source, slice(None), *tap)]
                )
                result[(slice(None), target, *place)] += spread
    pairs = zip(full, padding[::2], padding[1::2], strict=True)
    cut = tuple(slice(low, n - high) for n, low, high in pairs)
    return result[(..., *cut)]


def _max_pool(
    x: Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[int]
) -> Array:
    view = _windows(x, window, strides, padding, -np.inf)
    return np.asarray(view.max(axis=tuple(range(-len(window), 0))))


def _avg_pool(
    x: Array,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    count_include_pad: bool = False,
) -> Array:
    axes = tuple(range(-len(window), 0))
    if count_include_pad:
        return np.asarray(_windows(x, window, strides, padding, 0).mean(axis=axes))
    return np.asarray(np.nanmean(_windows(x, window, strides, padding, np.nan), axis=axes))


CONV = {"strides": (1, 2), "padding": (1, 0, 2, 1), "dilation": (2, 1)}


def _resize(x: Array, shape: tuple[int, ...], method: str) -> Array:
    """One axis after the other, by NumPy's interpolation; nearest by the closest centre."""
    for axis, new in enumerate(shape):
        old = x.shape[axis]
        at = (np.arange(new) + 0.5) * old / new - 0.5
        if method == "nearest":
            closest = [
                int(np.argmin(np.abs(np.arange(old) - p) - 1e-9 * np.arange(old))) for p in at
            ]
            x = x[(slice(None),) * axis + (closest,)]
        else:
            x = np.apply_along_axis(
                lambda row, at=at, old=old: np.interp(at, np.arange(old), row), axis, x
            )
    return x


CASES = (
    activation("elu", _elu),
    activation("elu", _elu, attrs={"alpha": 0.7}, name="alpha"),
    far("elu", _elu),
    activation("gelu", _gelu),
    activation("gelu", _gelu, attrs={"approximate": True}, name="tanh"),
    far("gelu", _gelu),
    activation("leaky_relu", _leaky_relu),
    activation("leaky_relu", _leaky_relu, attrs={"negative_slope": 0.2}, name="slope"),
    activation("log_sigmoid", lambda x: -_softplus(-x)),
    far("log_sigmoid", lambda x: -_softplus(-x)),
    activation("mish", lambda x: x * np.tanh(_softplus(x))),
    far("mish", lambda x: x * np.tanh(_softplus(x))),
    activation("relu", lambda x: np.maximum(x, 0)),
    activation("selu", lambda x: SELU_SCALE * _elu(x, SELU_ALPHA)),
    activation("silu", lambda x: x * scipy.special.expit(x)),
    far("silu", lambda x: x * scipy.special.expit(x)),
    activation("softplus", _softplus),
    far("softplus", _softplus),
    *(
        Case(
            f"nn.{name}",
            lambda r, d: [normal(r, d, (2, 3, 2))],
            getattr(scipy.special, name),
            dtypes,
            attrs={"axis": axis},
            name=label,
        )
        for name in ("softmax", "log_softmax")
        for label, axis, dtypes in (("", (1,), FLOATS), ("two_axes", (0, -1), ("float64",)))
    ),
    *(far(name, getattr(scipy.special, name), attrs={"axis": (0,)}) for name in ("softmax",)),
    Case(
        "nn.dot_product_attention",
        _qkv(2, 2),
        _attention,
        FLOATS,
        attrs={"scale": 0.7},
    ),
    Case(
        "nn.dot_product_attention",
        _qkv(4, 2),
        _attention,
        DOUBLE,
        attrs={"scale": 0.7, "is_causal": True},
        name="causal_groups",
    ),
    Case(
        "nn.dot_product_attention",
        _qkv(2, 1, mask=(2, 1, 3, 4)),
        _attention,
        DOUBLE,
        attrs={"scale": 0.7},
        name="mask",
    ),
    Case(
        "nn.conv",
        lambda r, d: [normal(r, d, (2, 2, 4, 3)), normal(r, d, (3, 2, 2, 2))],
        _conv,
        FLOATS,
        attrs=CONV,
    ),
    Case(
        "nn.conv",
        lambda r, d: [normal(r, d, (1, 4, 5)), normal(r, d, (2, 2, 3))],
        _conv,
        DOUBLE,
        attrs={"strides": (1,), "padding": (0, 0), "dilation": (1,), "groups": 2},
        name="groups",
    ),
    Case(
        "nn.conv_transpose",
        lambda r, d: [normal(r, d, (2, 2, 3, 2)), normal(r, d, (2, 3, 2, 2))],
        _conv_transpose,
        FLOATS,
        attrs=CONV,
    ),
    Case(
        "nn.conv_transpose",
        lambda r, d: [normal(r, d, (1, 4, 3)), normal(r, d, (4, 1, 3))],
        _conv_transpose,
        DOUBLE,
        attrs={"strides": (2,), "padding": (1, 0), "dilation": (1,), "groups": 2},
        name="groups",
    ),
    Case(
        "nn.max_pool",
        lambda r, d: [distinct(r, d, (2, 4, 3))],
        _max_pool,
        FLOATS,
        attrs={"window": (2, 2), "strides": (2, 1), "padding": (1, 0, 0, 1)},
    ),
    *(
        Case(
            "nn.avg_pool",
            lambda r, d: [normal(r, d, (2, 4, 3))],
            _avg_pool,
            dtypes,
            attrs={
                "window": (2, 2),
                "strides": (2, 1),
                "padding": (1, 0, 0, 1),
                "count_include_pad": counted,
            },
            name=name,
        )
        for name, counted, dtypes in (("", False, FLOATS), ("padding_counts", True, DOUBLE))
    ),
    Case(
        "nn.resize",
        lambda r, d: [normal(r, d, (2, 3, 5))],
        _resize,
        INEXACT,
        attrs={"shape": (2, 7, 2), "method": "linear"},
    ),
    Case(
        "nn.resize",
        lambda r, d: [normal(r, d, (2, 3, 5))],
        _resize,
        DOUBLE,
        attrs={"shape": (2, 7, 2), "method": "nearest"},
        name="nearest",
    ),
    Case(
        "nn.resize",
        lambda r, d: [normal(r, d, (2, 1))],
        _resize,
        DOUBLE,
        attrs={"shape": (2, 3), "method": "linear"},
        name="from_one",
    ),
)
