"""PyTorch's layers in gradwire's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import gradwire as gw
from outside.torch_windows import each
from outside.torch_words import not_offered

ops = gw.ops


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


def pairwise_distance(
    x: Any, y: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    return np.linalg.norm(x - y + eps, ord=p, axis=-1, keepdims=keepdim)


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
    return ops.nn.resize(x, shape=(*x.shape[:2], *each(size, count)), method=method)


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


LAYERS: dict[str, Callable[..., Any]] = {
    "log_softmax": _log_softmax,
    "softmax": _softmax,
    "nn.functional.batch_norm": _batch_norm,
    "nn.functional.bilinear": _bilinear,
    "nn.functional.cosine_similarity": _cosine_similarity,
    "nn.functional.embedding": _embedding,
    "nn.functional.glu": _glu,
    "nn.functional.group_norm": _group_norm,
    "nn.functional.instance_norm": _instance_norm,
    "nn.functional.interpolate|linear": partial(_interpolate, "linear"),
    "nn.functional.interpolate|bilinear": partial(_interpolate, "linear"),
    "nn.functional.interpolate|trilinear": partial(_interpolate, "linear"),
    "nn.functional.interpolate|nearest-exact": partial(_interpolate, "nearest"),
    "nn.functional.layer_norm": _layer_norm,
    "nn.functional.linear": _linear,
    "nn.functional.local_response_norm": _local_response_norm,
    "nn.functional.normalize": _normalize,
    "nn.functional.pad|constant": _padded,
    "nn.functional.pad|reflect": _padded,
    "nn.functional.pad|replicate": _padded,
    "nn.functional.pad|circular": _padded,
    "nn.functional.pairwise_distance": pairwise_distance,
    "nn.functional.prelu": _prelu,
    "nn.functional.rms_norm": _rms_norm,
    "nn.functional.scaled_dot_product_attention": _attention,
    "nn.functional.softmin": lambda x, dim, dtype=None: _softmax(-x, dim, dtype),
}
"""By the name in OpInfo."""
