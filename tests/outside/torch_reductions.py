"""PyTorch's reductions and running sums in NumPy's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import gradwire as gw
from outside.torch_words import Pair, not_offered

ops = gw.ops


def _axis(dim: Any) -> Any:
    """No axes are all of them to PyTorch."""
    if isinstance(dim, list | tuple):
        return tuple(dim) or None
    return dim


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        if dtype is not None:
            not_offered("dtype")
        return function(x, axis=_axis(dim) if x.ndim else None, keepdims=keepdim)

    return reduce


def _spread(function: Callable[..., Any]) -> Callable[..., Any]:
    """A variance or deviation, with PyTorch's two ways to say the correction."""

    def reduce(
        x: Any,
        dim: Any = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        correction: float | None = None,
    ) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        ddof: Any = 1 if correction is None else correction
        if unbiased is not None:
            ddof = int(unbiased)
        axes = _axis(dim)
        shape = np.shape(np.zeros(x.shape))
        lengths = shape if axes is None else [shape[a] for a in np.atleast_1d(axes)]
        if np.prod(lengths) <= ddof:
            not_offered("no divisor above 0")
        return function(x, axis=axes, ddof=ddof, keepdims=keepdim)

    return reduce


def _extreme(name: str) -> Callable[..., Any]:
    value, place = getattr(np, name), getattr(np, f"arg{name}")

    def extreme(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            return value(x)
        if x.ndim == 0:
            return value(x), np.zeros((), int)
        return value(x, axis=dim, keepdims=keepdim), place(x, axis=dim, keepdims=keepdim)

    return extreme


def _running(op: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, dim: int) -> Any:
        if x.dtype.kind == "c":
            not_offered("complex")
        return op(x, axis=dim) if x.ndim else +x

    return run


def _cumulative(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, dim: int, dtype: Any = None) -> Any:
        if dtype is not None:
            not_offered("dtype")
        return function(x, axis=dim) if x.ndim else +x

    return run


def _logsumexp(x: Any, dim: Any, keepdim: bool = False) -> Any:
    if x.dtype.kind == "c":
        not_offered("complex")
    axes = tuple(np.atleast_1d(dim).tolist()) if x.ndim else ()
    return ops.logsumexp(x, axis=axes or tuple(range(x.ndim)), keepdims=keepdim)


def _diff(x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    more = {k: v for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    return np.diff(x, n, dim, **more)


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, dim: int = -1) -> Any:
    return np.trapezoid(y, x, dx=dx, axis=dim)


def _cumulative_trapezoid(y: Any, x: Any = None, dx: Any = 1.0, dim: int = -1) -> Any:
    if x is not None:
        if x.ndim != 1:
            not_offered("several x")
        dx = np.diff(x)
    rows = np.moveaxis(y, dim, -1)
    return np.moveaxis(np.cumsum(dx * (rows[..., 1:] + rows[..., :-1]) / 2, -1), -1, dim)


def _gradient(x: Any, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> Any:
    axes = tuple(range(x.ndim)) if dim is None else dim
    steps = [] if spacing is None else spacing if isinstance(spacing, list | tuple) else [spacing]
    answer = np.gradient(x, *steps, axis=axes, edge_order=edge_order)
    return tuple(answer) if isinstance(answer, list | tuple) else (answer,)


def _cov(x: Any, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    if fweights is not None or aweights is not None:
        not_offered("weights")
    if (x.ndim < 2 and x.size <= correction) or (x.ndim == 2 and x.shape[1] <= correction):
        not_offered("no divisor above 0")
    return np.cov(x, ddof=correction)


def _renorm(x: Any, p: float, dim: int, maxnorm: float) -> Any:
    others = tuple(a for a in range(x.ndim) if a != dim % x.ndim)
    size = ops.linalg.vector_norm(x, axis=others, ord=p, keepdims=True)
    return np.where(size > maxnorm, x * (maxnorm / (size + 1e-7)), x)


def _first(theirs: Any) -> Any:
    return theirs[0]


def _mean_like(
    x: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    correction: float | None = None,
) -> Any:
    return np.mean(x, axis=None if isinstance(dim, bool) else _axis(dim), keepdims=keepdim)


REDUCTIONS: dict[str, Callable[..., Any] | Pair] = {
    "all": _reduction(np.all),
    "amax": _reduction(np.max),
    "amin": _reduction(np.min),
    "aminmax": lambda x, dim=None, keepdim=False: (
        _reduction(np.min)(x, dim, keepdim),
        _reduction(np.max)(x, dim, keepdim),
    ),
    "any": _reduction(np.any),
    "argmax": _reduction(np.argmax),
    "argmin": _reduction(np.argmin),
    "count_nonzero": lambda x, dim=None: np.count_nonzero(x, axis=_axis(dim)),
    "max": _extreme("max"),
    "mean": _reduction(np.mean),
    "min": _extreme("min"),
    "nanmean": _reduction(np.nanmean),
    "nansum": _reduction(np.nansum),
    "prod": _reduction(np.prod),
    "quantile": lambda x, q, dim=None, keepdim=False, interpolation="linear": np.quantile(
        x, q, axis=dim, keepdims=keepdim, method=interpolation
    ),
    "nanquantile": lambda x, q, dim=None, keepdim=False, interpolation="linear": np.nanquantile(
        x, q, axis=dim, keepdims=keepdim, method=interpolation
    ),
    "std": _spread(np.std),
    "std_mean": lambda x, *args, **kw: (
        _spread(np.std)(x, *args, **kw),
        _mean_like(x, *args, **kw),
    ),
    "sum": _reduction(np.sum),
    "var": _spread(np.var),
    "var_mean": lambda x, *args, **kw: (
        _spread(np.var)(x, *args, **kw),
        _mean_like(x, *args, **kw),
    ),
    "logsumexp": _logsumexp,
    "logcumsumexp": _running(ops.cumulative_logsumexp),
    "cummax": Pair(_running(ops.cumulative_max), _first),
    "cummin": Pair(_running(ops.cumulative_min), _first),
    "cumprod": _cumulative(np.cumprod),
    "cumsum": _cumulative(np.cumsum),
    "corrcoef": np.corrcoef,
    "cov": _cov,
    "cumulative_trapezoid": _cumulative_trapezoid,
    "diff": _diff,
    "gradient": _gradient,
    "renorm": _renorm,
    "trapezoid": _trapezoid,
    "trapz": _trapezoid,
}
"""By the name in OpInfo."""
