"""PyTorch's losses in gradwire's words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import gradwire as gw
from outside.torch_nn import pairwise_distance
from outside.torch_words import not_offered

ops = gw.ops


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
    near, far = (pairwise_distance(a, v, order, eps) for v in (p, n))
    if swap:
        far = np.minimum(far, pairwise_distance(p, n, order, eps))
    return _reduced(np.maximum(margin + near - far, 0.0), reduction)


def _cosine_embedding(
    x: Any, y: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    axis = 1 if x.ndim > 1 else 0
    dot, xx, yy = (np.sum(a * b, axis=axis) for a, b in ((x, y), (x, x), (y, y)))
    cos = dot / np.sqrt((xx + 1e-12) * (yy + 1e-12))
    loss = np.where(target == 1, 1 - cos, np.maximum(cos - margin, 0.0))
    return _reduced(loss, reduction)


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


LOSSES: dict[str, Callable[..., Any]] = {
    "nn.functional.binary_cross_entropy": _loss(_bce),
    "nn.functional.binary_cross_entropy_with_logits": _loss(_bce_with_logits),
    "nn.functional.cosine_embedding_loss": _cosine_embedding,
    "nn.functional.cross_entropy": _cross_entropy,
    "nn.functional.gaussian_nll_loss": _gaussian_nll,
    "nn.functional.hinge_embedding_loss": _loss(
        lambda x, y, margin=1.0: (
            np.where(y != -1, x, 0.0) + np.where(y != 1, np.maximum(margin - x, 0.0), 0.0)
        )
    ),
    "nn.functional.huber_loss": _loss(_huber),
    "nn.functional.kl_div": _kl_div,
    "nn.functional.l1_loss": _loss(lambda x, y: np.abs(x - y)),
    "nn.functional.margin_ranking_loss": lambda x, y, target, margin=0.0, reduction="mean": (
        _reduced(np.maximum(-target * (x - y) + margin, 0.0), reduction)
    ),
    "nn.functional.mse_loss": _loss(lambda x, y, weight=None: _weighted((x - y) ** 2, weight)),
    "nn.functional.multi_margin_loss": _loss(_multi_margin),
    "nn.functional.multilabel_soft_margin_loss": _loss(_multilabel_soft_margin),
    "nn.functional.nll_loss": _nll,
    "nn.functional.poisson_nll_loss": _poisson_nll,
    "nn.functional.smooth_l1_loss": _loss(_smooth_l1),
    "nn.functional.soft_margin_loss": _loss(lambda x, y: ops.nn.softplus(-y * x)),
    "nn.functional.triplet_margin_loss": _triplet,
}
"""By the name in OpInfo."""
