"""PyTorch's functions of positions, and its sorting, in NumPy's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import gradwire as gw
from outside.torch_words import Pair, not_offered

ops = gw.ops


def _gather(x: Any, dim: int, index: Any) -> Any:
    if x.ndim == 0 or index.ndim == 0:
        not_offered("positions in a scalar")
    within = tuple(slice(n if d != dim % x.ndim else None) for d, n in enumerate(index.shape))
    return np.take_along_axis(x[within], index, dim)


def _places(index: Any, dim: int) -> tuple[Any, ...]:
    grid = list(np.indices(index.shape))
    grid[dim] = index
    return tuple(grid)


def _scattering(update: Callable[..., Any]) -> Callable[..., Any]:
    def scatter(x: Any, dim: int, index: Any, src: Any, **options: Any) -> Any:
        if x.ndim == 0 or index.ndim == 0:
            not_offered("positions in a scalar")
        if options.get("reduce") is not None or options.get("include_self") is False:
            not_offered("reduce")
        if np.ndim(src):
            src = src[tuple(slice(n) for n in index.shape)]
        return update(x, _places(index, dim), src)

    return scatter


def _scatter_reduce(update: Callable[..., Any]) -> Callable[..., Any]:
    scatter = _scattering(update)

    def reduce(
        x: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True
    ) -> Any:
        return scatter(x, dim, index, src, include_self=include_self)

    return reduce


def _at(x: Any, dim: int, index: Any) -> tuple[Any, ...]:
    if x.ndim == 0:
        not_offered("positions in a scalar")
    return (slice(None),) * (dim % x.ndim) + (np.atleast_1d(index),)


def _index_add(x: Any, dim: int, index: Any, source: Any, alpha: Any = 1) -> Any:
    return ops.index_add(x, _at(x, dim, index), alpha * source)


def _index_set(x: Any, dim: int, index: Any, value: Any) -> Any:
    return ops.index_set(x, _at(x, dim, index), value)


def _taken(x: Any, index: Any) -> Any:
    return np.take(np.ravel(x), index)


def _subscript(x: Any, key: Any) -> Any:
    return x[key]


def _slice_scatter(
    x: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    where = (slice(None),) * (dim % x.ndim) + (slice(start, end, step),)
    return ops.index_set(x, where, src)


def _select(x: Any, dim: int, index: int) -> Any:
    return x[(slice(None),) * (dim % x.ndim) + (index,)]


def _select_scatter(x: Any, src: Any, dim: int, index: int) -> Any:
    return ops.index_set(x, (slice(None),) * (dim % x.ndim) + (index,), src)


def _sort(x: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> Any:
    if x.ndim == 0:
        not_offered("sorting of a scalar")
    return (
        ops.sort(x, axis=dim, descending=descending),
        ops.argsort(x, axis=dim, descending=descending),
    )


def _topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    if not largest or not sorted or x.ndim == 0:
        not_offered("the smallest")
    values, places = ops.top_k(np.moveaxis(x, dim, -1), k=k)
    return np.moveaxis(values, -1, dim), np.moveaxis(places, -1, dim)


def _kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    if x.ndim == 0:
        not_offered("sorting of a scalar")
    place = (slice(None),) * (dim % x.ndim) + (slice(k - 1, k) if keepdim else k - 1,)
    return np.sort(x, axis=dim)[place], np.argsort(x, axis=dim, stable=True)[place]


POSITIONS: dict[str, Callable[..., Any] | Pair] = {
    "__getitem__": _subscript,
    "argsort": lambda x, dim=-1, descending=False, stable=True: (
        ops.argsort(x, axis=dim, descending=descending)
        if x.ndim
        else not_offered("sorting of a scalar")
    ),
    "gather": _gather,
    "index_add": _index_add,
    "index_copy": _index_set,
    "index_fill": _index_set,
    "index_put": lambda x, key, values, accumulate=False: (
        ops.index_add if accumulate else ops.index_set
    )(x, tuple(key), values),
    "index_select": lambda x, dim, index: (
        np.take(x, np.atleast_1d(index), axis=dim) if x.ndim else not_offered("a scalar")
    ),
    "kthvalue": _kthvalue,
    "msort": lambda x: np.sort(x, axis=0) if x.ndim else not_offered("sorting of a scalar"),
    "put": lambda x, index, source, accumulate=False: np.reshape(
        (ops.index_add if accumulate else ops.index_set)(
            np.ravel(x), np.ravel(index), np.ravel(source)
        ),
        x.shape,
    ),
    "scatter": _scattering(ops.index_set),
    "scatter_add": _scattering(ops.index_add),
    "scatter_reduce|amax": _scatter_reduce(ops.index_max),
    "scatter_reduce|amin": _scatter_reduce(ops.index_min),
    "scatter_reduce|prod": _scatter_reduce(ops.index_multiply),
    "scatter_reduce|sum": _scatter_reduce(ops.index_add),
    "searchsorted": lambda x, values, side="left", right=False, out_int32=False, sorter=None: (
        np.searchsorted(x, values, "right" if right else side)
        if x.ndim == 1 and sorter is None
        else not_offered("several rows")
    ),
    "select": _select,
    "select_scatter": _select_scatter,
    "slice_scatter": _slice_scatter,
    "sort": _sort,
    "take": _taken,
    "take_along_dim": lambda x, index, dim=None: (
        np.take_along_axis(x, index, dim)
        if dim is not None
        else np.take(np.ravel(x), np.ravel(index))
    ),
    "topk": _topk,
}
"""By the name in OpInfo."""
