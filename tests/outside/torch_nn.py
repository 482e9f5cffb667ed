"""PyTorch's layers and losses in gradwire's words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import gradwire as gw
from outside.torch_words import Pair, not_offered

ops = gw.ops


def _each(value: Any, count: int) -> tuple[int, ...]:
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
    dilation = _each(dilation, count)
    pads: Any
    if padding == "valid":
        pads = (0,) * (2 * count)
    elif padding == "same":
        reach = [d * (n - 1) for d, n in zip(dilation, weight.shape[2:], strict=True)]
        pads = tuple(p for r in reach for p in (r // 2, r - r // 2))
    else:
        pads = _both(_each(padding, count))
    y = ops.nn.conv(
        x[None] if lone else x,
        weight,
        strides=_each(stride, count),
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
    if any(_each(output_padding, count)) or x.dtype.kind == "c":
        not_offered("output_padding")
    y = ops.nn.conv_transpose(
        x[None] if lone else x,
        weight,
        strides=_each(stride, count),
        padding=_both(_each(padding, count)),
        dilation=_each(dilation, count),
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
    window = _each(kernel_size, count)
    return ops.nn.avg_pool(
        x,
        window=window,
        strides=_each(stride or window, count),
        padding=_both(_each(padding, count)),
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
    if ceil_mode or set(_each(dilation, count)) != {1}:
        not_offered("ceil_mode")
    window = _each(kernel_size, count)
    return ops.nn.max_pool(
        x,
        window=window,
        strides=_each(stride or window, count),
        padding=_both(_each(padding, count)),
    )


def _adaptive(
    pool: Callable[..., Any], count: int, x: Any, size: Any, return_indices: Any = False
) -> Any:
    lengths = x.shape[-count:]
    new = [o if n is None else n for n, o in zip(_each(size, count), lengths, strict=True)]
    if any(n == 0 or o % n for n, o in zip(new, lengths, strict=True)):
        not_offered("windows of several lengths")
    window = tuple(o // n for n, o in zip(new, lengths, strict=True))
    return pool(x, window=window, strides=window, padding=(0,) * (2 * count))


def _first_of(theirs: Any) -> Any:
    return theirs[0] if isinstance(theirs, tuple) else theirs


def _reduced(loss: Any, reduction: str, batch: int | None = None) -> Any:
    if reduction == "batchmean":
        return np.sum(loss) / batch
    return {"none": lambda x: x, "mean": np.mean, "sum": np.sum}[reduction](loss)


def _loss(function: Callable[..., Any]) -> Callable[..., Any]:
    """A loss of an input, a target and options."""

    def run(x: Any, target: Any, reduction: str = "mean", **options: Any) -> Any:
        return _reduced(function(x, target, **options), reduction)

    return run


def _weighted(loss: Any, weight: Any) -> Any:
    return loss if weight is None else loss * weight


def _bce(x: Any, y: Any, weight: Any = None) -> Any:
    """The logarithms are cut off at -100."""
    low = np.maximum(np.log(x), -100.0)
    high = np.maximum(np.log1p(-x), -100.0)
    return _weighted(-(y * low + (1 - y) * high), weight)


def _bce_with_logits(x: Any, y: Any, weight: Any = None, pos_weight: Any = None) -> Any:
    positive = 1.0 if pos_weight is None else pos_weight
    inside = positive * y * ops.nn.log_sigmoid(x) + (1 - y) * ops.nn.log_sigmoid(-x)
    return _weighted(-inside, weight)


def _huber(x: Any, y: Any, delta: float = 1.0, weight: Any = None) -> Any:
    d = np.abs(x - y)
    return _weighted(np.where(d <= delta, 0.5 * d**2, delta * (d - 0.5 * delta)), weight)


def _smooth_l1(x: Any, y: Any, beta: float = 1.0) -> Any:
    d = np.abs(x - y)
    return d if beta == 0 else np.where(d < beta, 0.5 * d**2 / beta, d - 0.5 * beta)


def _gaussian_nll(
    x: Any, y: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    if np.ndim(var) and var.shape != x.shape and np.broadcast_shapes(var.shape, x.shape) != x.shape:
        var = var[..., None]
    var = np.maximum(var, eps)
    loss = 0.5 * (np.log(var) + (x - y) ** 2 / var)
    return _reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def _poisson_nll(
    x: Any,
    y: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    loss = np.exp(x) - y * x if log_input else x - y * np.log(x + eps)
    if full:
        stirling = y * np.log(y) - y + 0.5 * np.log(2 * np.pi * y)
        loss = loss + np.where(y > 1, stirling, 0.0)
    return _reduced(loss, reduction)


def _kl_div(x: Any, y: Any, reduction: str = "mean", log_target: bool = False, **other: Any) -> Any:
    from scipy import special

    loss = np.exp(y) * (y - x) if log_target else special.xlogy(y, y) - y * x
    return _reduced(loss, reduction, x.shape[0] if x.ndim else 1)


def _nll(
    x: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Of logarithms of probabilities (n, classes, ...) and classes (n, ...)."""
    axis = 1 if x.ndim > 1 else 0
    used = target != ignore_index
    safe = np.where(used, target, 0)
    picked = np.squeeze(np.take_along_axis(x, np.expand_dims(safe, axis), axis), axis)
    weights = np.ones(x.shape[axis]) if weight is None else weight
    scale = np.where(used, np.take(weights, safe, axis=0), 0.0)
    loss = -picked * scale
    return np.sum(loss) / np.sum(scale) if reduction == "mean" else _reduced(loss, reduction)


def _cross_entropy(x: Any, target: Any, label_smoothing: float = 0.0, **options: Any) -> Any:
    if label_smoothing or target.dtype.kind == "f":
        not_offered("probabilities as targets")
    return _nll(ops.nn.log_softmax(x, axis=1 if x.ndim > 1 else 0), target, **options)


def _normalized(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    mean = np.mean(x, axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(np.var(x, axis=axes, keepdims=True) + eps)


def _affine(y: Any, weight: Any, bias: Any, shape: Sequence[int] | None = None) -> Any:
    if weight is not None:
        y = y * (weight if shape is None else np.reshape(weight, shape))
    if bias is not None:
        y = y + (bias if shape is None else np.reshape(bias, shape))
    return y


def _channels(x: Any) -> tuple[int, ...]:
    return (1, -1, *(1,) * (x.ndim - 2))


def _layer_norm(
    x: Any, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    return _affine(_normalized(x, tuple(range(-len(shape), 0)), eps), weight, bias)


def _rms_norm(x: Any, shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    axes = tuple(range(-len(shape), 0))
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    # PyTorch squares complex numbers without a conjugate.
    return _affine(x / np.sqrt(np.mean(x**2, axis=axes, keepdims=True) + eps), weight, None)


def _group_norm(
    x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    n = x.shape[0]
    if 0 in x.shape:
        not_offered("nothing")
    parts = np.reshape(x, (n, groups, -1))
    y = np.reshape(_normalized(parts, (2,), eps), x.shape)
    return _affine(y, weight, bias, _channels(x))


def _instance_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if not use_input_stats:
        not_offered("running statistics")
    return _affine(_normalized(x, tuple(range(2, x.ndim)), eps), weight, bias, _channels(x))


def _batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if training:
        y = _normalized(x, (0, *range(2, x.ndim)), eps)
    else:
        mean, var = (np.reshape(v, _channels(x)) for v in (running_mean, running_var))
        y = (x - mean) / np.sqrt(var + eps)
    return _affine(y, weight, bias, _channels(x))


def _cosine_similarity(x: Any, y: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    def size(v: Any) -> Any:
        return np.maximum(np.linalg.norm(v, axis=dim, keepdims=True), eps)

    x, y = np.broadcast_arrays(x, y)
    return np.sum((x / size(x)) * (y / size(y)), axis=dim)


def _normalize(x: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    axes = {"axis": (dim,)} if x.ndim else {"axis": ()}
    size = ops.linalg.vector_norm(x, ord=p, keepdims=True, **axes)
    return x / np.maximum(size, eps)


def _pairwise_distance(
    x: Any, y: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    return np.linalg.norm(x - y + eps, ord=p, axis=-1, keepdims=keepdim)


def _triplet(
    a: Any,
    p: Any,
    n: Any,
    margin: float = 1.0,
    p_: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    order = options.get("p", 2.0)
    near, far = (_pairwise_distance(a, v, order, eps) for v in (p, n))
    if swap:
        far = np.minimum(far, _pairwise_distance(p, n, order, eps))
    return _reduced(np.maximum(margin + near - far, 0.0), reduction)


def _cosine_embedding(
    x: Any, y: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    axis = 1 if x.ndim > 1 else 0
    dot, xx, yy = (np.sum(a * b, axis=axis) for a, b in ((x, y), (x, x), (y, y)))
    cos = dot / np.sqrt((xx + 1e-12) * (yy + 1e-12))
    loss = np.where(target == 1, 1 - cos, np.maximum(cos - margin, 0.0))
    return _reduced(loss, reduction)


def _softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    if dtype is not None:
        not_offered("dtype")
    return ops.nn.softmax(x, axis=dim) if x.ndim else np.ones_like(x) + 0 * x


def _log_softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    if dtype is not None:
        not_offered("dtype")
    return ops.nn.log_softmax(x, axis=dim) if x.ndim else 0 * x


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """PyTorch has the heads before the length."""
    if dropout_p or query.ndim < 4 or (attn_mask is not None and attn_mask.dtype != bool):
        not_offered("dropout")
    if query.shape[-1] != value.shape[-1]:
        not_offered("values of another length")
    masks = [] if attn_mask is None else [attn_mask]
    answer = ops.nn.dot_product_attention(
        *(np.swapaxes(v, -3, -2) for v in (query, key, value)),
        *masks,
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
        is_causal=is_causal,
    )
    return np.swapaxes(answer, -3, -2)


def _interpolate(
    method: str, x: Any, size: Any = None, scale_factor: Any = None, **options: Any
) -> Any:
    count = x.ndim - 2
    if options.get("align_corners") or scale_factor is not None:
        not_offered("align_corners")
    return ops.nn.resize(x, shape=(*x.shape[:2], *_each(size, count)), method=method)


def _padded(x: Any, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Any:
    if min(pad) < 0:
        not_offered("negative pads")
    mode = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    widths = [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    widths = [(0, 0)] * (x.ndim - len(widths)) + widths
    more = {"constant_values": 0 if value is None else value} if mode == "constant" else {}
    return np.pad(x, widths, mode, **more)


def _local_response_norm(
    x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    if 0 in x.shape:
        not_offered("nothing")
    wide = np.pad(x**2, [(0, 0), (size // 2, (size - 1) // 2)] + [(0, 0)] * (x.ndim - 2))
    total = sum(wide[:, i : i + x.shape[1]] for i in range(size)) / size
    return x / (k + alpha * total) ** beta


def _bilinear(x: Any, y: Any, weight: Any, bias: Any = None) -> Any:
    z = np.einsum("...i,oij,...j->...o", x, weight, y)
    return z if bias is None else z + bias


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    y = np.matmul(x, np.transpose(weight))
    return y if bias is None else y + bias


def _glu(x: Any, dim: int = -1) -> Any:
    from scipy import special

    a, b = np.split(x, 2, dim)
    return a * special.expit(b)


def _prelu(x: Any, weight: Any) -> Any:
    w = np.reshape(weight, _channels(x)) if np.ndim(weight) and x.ndim > 1 else weight
    return np.where(x > 0, x, w * x)


def _embedding(weight: Any, index: Any, padding_idx: Any = None, **options: Any) -> Any:
    if padding_idx is not None or options.get("max_norm") is not None:
        not_offered("padding_idx")
    return np.take(weight, index, axis=0)


def _multi_margin(x: Any, y: Any, p: int = 1, margin: float = 1.0, weight: Any = None) -> Any:
    rows = np.atleast_2d(x)
    y = np.atleast_1d(y)
    if len(y) != rows.shape[0]:
        not_offered("one row")
    picked = np.take_along_axis(rows, y[:, None], 1)
    slack = np.maximum(margin - picked + rows, 0.0) ** p
    if weight is not None:
        slack = slack * np.take(weight, y)[:, None]
    loss = np.sum(np.where(np.arange(rows.shape[1]) == y[:, None], 0.0, slack), 1) / rows.shape[1]
    return loss if x.ndim > 1 else loss[0]


def _multilabel_soft_margin(x: Any, y: Any, weight: Any = None) -> Any:
    loss = -(y * ops.nn.log_sigmoid(x) + (1 - y) * ops.nn.log_sigmoid(-x))
    return np.mean(_weighted(loss, weight), axis=-1)


LAYERS: dict[str, Callable[..., Any] | Pair] = {
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
    "log_softmax": _log_softmax,
    "softmax": _softmax,
    "nn.functional.batch_norm": _batch_norm,
    "nn.functional.bilinear": _bilinear,
    "nn.functional.binary_cross_entropy": _loss(_bce),
    "nn.functional.binary_cross_entropy_with_logits": _loss(_bce_with_logits),
    "nn.functional.cosine_embedding_loss": _cosine_embedding,
    "nn.functional.cosine_similarity": _cosine_similarity,
    "nn.functional.cross_entropy": _cross_entropy,
    "nn.functional.embedding": _embedding,
    "nn.functional.gaussian_nll_loss": _gaussian_nll,
    "nn.functional.glu": _glu,
    "nn.functional.group_norm": _group_norm,
    "nn.functional.hinge_embedding_loss": _loss(
        lambda x, y, margin=1.0: (
            np.where(y != -1, x, 0.0) + np.where(y != 1, np.maximum(margin - x, 0.0), 0.0)
        )
    ),
    "nn.functional.huber_loss": _loss(_huber),
    "nn.functional.instance_norm": _instance_norm,
    "nn.functional.interpolate|linear": partial(_interpolate, "linear"),
    "nn.functional.interpolate|bilinear": partial(_interpolate, "linear"),
    "nn.functional.interpolate|trilinear": partial(_interpolate, "linear"),
    "nn.functional.interpolate|nearest-exact": partial(_interpolate, "nearest"),
    "nn.functional.kl_div": _kl_div,
    "nn.functional.l1_loss": _loss(lambda x, y: np.abs(x - y)),
    "nn.functional.layer_norm": _layer_norm,
    "nn.functional.linear": _linear,
    "nn.functional.local_response_norm": _local_response_norm,
    "nn.functional.margin_ranking_loss": lambda x, y, target, margin=0.0, reduction="mean": (
        _reduced(np.maximum(-target * (x - y) + margin, 0.0), reduction)
    ),
    "nn.functional.mse_loss": _loss(lambda x, y, weight=None: _weighted((x - y) ** 2, weight)),
    "nn.functional.multi_margin_loss": _loss(_multi_margin),
    "nn.functional.multilabel_soft_margin_loss": _loss(_multilabel_soft_margin),
    "nn.functional.nll_loss": _nll,
    "nn.functional.normalize": _normalize,
    "nn.functional.pad|constant": _padded,
    "nn.functional.pad|reflect": _padded,
    "nn.functional.pad|replicate": _padded,
    "nn.functional.pad|circular": _padded,
    "nn.functional.pairwise_distance": _pairwise_distance,
    "nn.functional.poisson_nll_loss": _poisson_nll,
    "nn.functional.prelu": _prelu,
    "nn.functional.rms_norm": _rms_norm,
    "nn.functional.scaled_dot_product_attention": _attention,
    "nn.functional.smooth_l1_loss": _loss(_smooth_l1),
    "nn.functional.soft_margin_loss": _loss(lambda x, y: ops.nn.softplus(-y * x)),
    "nn.functional.softmin": lambda x, dim, dtype=None: _softmax(-x, dim, dtype),
    "nn.functional.triplet_margin_loss": _triplet,
}
"""By the name in OpInfo."""
