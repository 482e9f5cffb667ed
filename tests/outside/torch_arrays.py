"""PyTorch's reductions and functions of shapes and positions in NumPy's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def _permuted(x: Any, *dims: Any) -> Any:
    axes = dims[0] if len(dims) == 1 and isinstance(dims[0], list | tuple) else dims
    return np.transpose(x, axes)


def _shaped(x: Any, *shape: Any) -> Any:
    if len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = tuple(shape[0])
    if -1 in shape and 0 in x.shape:
        not_offered("-1 of nothing")
    return np.reshape(x, shape)


def _expanded(x: Any, *shape: Any) -> Any:
    if len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = tuple(shape[0])
    old = (0,) * (len(shape) - x.ndim) + x.shape
    return np.broadcast_to(x, [o if n == -1 else n for n, o in zip(shape, old, strict=True)])


def _flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    if x.ndim == 0:
        return np.reshape(x, (1,))
    start, end = start_dim % x.ndim, end_dim % x.ndim
    length = int(np.prod(x.shape[start : end + 1]))
    return np.reshape(x, (*x.shape[:start], length, *x.shape[end + 1 :]))


def _unflatten(x: Any, dim: int, sizes: Sequence[int]) -> Any:
    dim %= x.ndim
    length = x.shape[dim]
    if -1 in sizes:
        sizes = [length // -int(np.prod(sizes)) if n == -1 else n for n in sizes]
    return np.reshape(x, x.shape[:dim] + tuple(sizes) + x.shape[dim + 1 :])


def _squeeze(x: Any, dim: Any = None) -> Any:
    dims = range(x.ndim) if dim is None else np.atleast_1d(dim).tolist()
    return np.squeeze(x, tuple({d % x.ndim for d in dims if x.ndim and x.shape[d] == 1}))


def _repeat_interleave(
    x: Any, repeats: Any, dim: Any = None, output_size: int | None = None
) -> Any:
    repeats = np.asarray(repeats).tolist() if not isinstance(repeats, int) else repeats
    return np.repeat(x, repeats, dim)


def _split(x: Any, sizes: Any, dim: int = 0) -> Any:
    length = x.shape[dim]
    if isinstance(sizes, int):
        return tuple(np.split(x, list(range(sizes, length, sizes)), dim))
    return tuple(np.split(x, np.cumsum(sizes)[:-1].tolist(), dim))


def _chunk(x: Any, chunks: int, dim: int = 0) -> Any:
    return _split(x, max(-(-x.shape[dim] // chunks), 1), dim)


def _tensor_split(x: Any, at: Any, dim: int = 0) -> Any:
    at = np.asarray(at).tolist() if isinstance(at, np.ndarray) else at
    return tuple(np.array_split(x, at, dim))


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


def _diagonal_places(x: Any, offset: int, dim1: int, dim2: int) -> tuple[Any, ...]:
    rows, columns = x.shape[dim1], x.shape[dim2]
    count = len(np.diagonal(np.empty((rows, columns)), offset))
    place: list[Any] = [slice(None)] * x.ndim
    place[dim1] = np.arange(count) + max(-offset, 0)
    place[dim2] = np.arange(count) + max(offset, 0)
    return tuple(place)


def _diagonal_scatter(x: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    dim1, dim2 = dim1 % x.ndim, dim2 % x.ndim
    if abs(dim1 - dim2) != 1 or (x.ndim > 2 and min(dim1, dim2) != x.ndim - 2):
        not_offered("axes that are not the last")
    return ops.index_set(x, _diagonal_places(x, offset, dim1, dim2), src)


def _diag_embed(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    y = ops.diag(x, k=offset)
    return np.moveaxis(y, (-2, -1), (dim1, dim2))


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


def _pixel_shuffle(x: Any, upscale_factor: int) -> Any:
    r = upscale_factor
    *lead, c, h, w = x.shape
    n = len(lead)
    y = np.reshape(x, (*lead, c // r**2, r, r, h, w))
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return np.reshape(np.transpose(y, order), (*lead, c // r**2, h * r, w * r))


def _pixel_unshuffle(x: Any, downscale_factor: int) -> Any:
    r = downscale_factor
    *lead, c, h, w = x.shape
    n = len(lead)
    y = np.reshape(x, (*lead, c, h // r, r, w // r, r))
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return np.reshape(np.transpose(y, order), (*lead, c * r**2, h // r, w // r))


def _channel_shuffle(x: Any, groups: int) -> Any:
    n, c, *space = x.shape
    y = np.reshape(x, (n, groups, c // groups, *space))
    return np.reshape(np.swapaxes(y, 1, 2), x.shape)


def _unfold(x: Any, dimension: int, size: int, step: int) -> Any:
    if x.ndim == 0:
        not_offered("positions in a scalar")
    starts = np.arange(0, x.shape[dimension] - size + 1, step)
    windows = np.take(x, starts[:, None] + np.arange(size), axis=dimension)
    return np.moveaxis(windows, dimension % x.ndim + 1, -1)


def _movedim(x: Any, source: Any, destination: Any) -> Any:
    return np.moveaxis(x, source, destination)


def _many(function: Callable[..., Any]) -> Callable[..., Any]:
    """One array gives one, several given one by one or as a list give several."""

    def run(*arrays: Any) -> Any:
        if len(arrays) == 1 and isinstance(arrays[0], list | tuple):
            arrays = tuple(arrays[0])
        result = function(*arrays)
        return tuple(result) if isinstance(result, list | tuple) else result

    return run


def _meshgrid(*arrays: Any, indexing: str = "ij") -> Any:
    if len(arrays) == 1 and isinstance(arrays[0], list | tuple):
        arrays = tuple(arrays[0])
    if any(a.ndim == 0 for a in arrays):
        not_offered("scalars")
    return tuple(np.meshgrid(*arrays, indexing=indexing))


def _concatenated(arrays: Sequence[Any], dim: int = 0) -> Any:
    if len({a.ndim for a in arrays}) > 1:
        not_offered("empty arrays of other ranks")
    return np.concatenate(arrays, dim)


def _first(theirs: Any) -> Any:
    return theirs[0]


ARRAYS: dict[str, Callable[..., Any] | Pair] = {
    # Reductions.
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
    # Shapes.
    "H": lambda x: np.conj(np.transpose(x)),
    "T": np.transpose,
    "mH": lambda x: np.conj(x.mT),
    "mT": lambda x: x.mT,
    "alias_copy": lambda x: +x,
    "atleast_1d": _many(np.atleast_1d),
    "atleast_2d": _many(np.atleast_2d),
    "atleast_3d": _many(np.atleast_3d),
    "block_diag": lambda *arrays: ops.linalg.block_diag(*map(np.atleast_2d, arrays)),
    "broadcast_tensors": lambda *arrays: tuple(np.broadcast_arrays(*arrays)),
    "broadcast_to": lambda x, shape: np.broadcast_to(x, shape),
    "cat": _concatenated,
    "chunk": _chunk,
    "clone": lambda x, memory_format=None: +x,
    "column_stack": np.column_stack,
    "constant_pad_nd": lambda x, pad, value=0: (
        np.pad(
            x,
            [(0, 0)] * (x.ndim - len(pad) // 2)
            + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)],
            constant_values=value,
        )
        if min(pad, default=0) >= 0
        else not_offered("negative pads")
    ),
    "contiguous": lambda x: +x,
    "diag": lambda x, diagonal=0: np.diag(x, diagonal),
    "diag_embed": _diag_embed,
    "diagflat": lambda x, offset=0: np.diagflat(x, offset),
    "diagonal": lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    "diagonal_copy": lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    "diagonal_scatter": _diagonal_scatter,
    "dsplit": lambda x, at: tuple(np.dsplit(x, at)),
    "dstack": np.dstack,
    "expand": _expanded,
    "expand_as": lambda x, other: np.broadcast_to(x, other.shape),
    "expand_copy": _expanded,
    "fill": lambda x, value: np.full_like(x, value),
    "flatten": _flatten,
    "flip": lambda x, dims: np.flip(x, tuple(dims)),
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "hsplit": lambda x, at: tuple(np.hsplit(x, at)),
    "hstack": np.hstack,
    "meshgrid": _meshgrid,
    "movedim": _movedim,
    "narrow": lambda x, dim, start, length: np.take(
        x, np.arange(length) + int(start) % max(x.shape[dim], 1), axis=dim
    ),
    "narrow_copy": lambda x, dim, start, length: np.take(
        x, np.arange(length) + int(start) % max(x.shape[dim], 1), axis=dim
    ),
    "nn.functional.channel_shuffle": _channel_shuffle,
    "nn.functional.pixel_shuffle": _pixel_shuffle,
    "nn.functional.pixel_unshuffle": _pixel_unshuffle,
    "ones_like": lambda x, **options: np.ones_like(x),
    "permute": _permuted,
    "permute_copy": _permuted,
    "ravel": np.ravel,
    "repeat": lambda x, *reps: np.tile(x, reps[0] if isinstance(reps[0], tuple | list) else reps),
    "repeat_interleave": _repeat_interleave,
    "reshape": _shaped,
    "reshape_as": lambda x, other: np.reshape(x, other.shape),
    "roll": lambda x, shifts, dims=None: np.roll(x, shifts, dims or None if dims != 0 else 0),
    "rot90": lambda x, k=1, dims=(0, 1): np.rot90(x, k, dims),
    "split": _split,
    "split_with_sizes": _split,
    "split_with_sizes_copy": _split,
    "squeeze": _squeeze,
    "squeeze_copy": _squeeze,
    "stack": lambda arrays, dim=0: np.stack(arrays, dim),
    "sum_to_size": lambda x, *shape: _summed_to(x, shape),
    "t": np.transpose,
    "t_copy": np.transpose,
    "tensor_split": _tensor_split,
    "tile": lambda x, dims: np.tile(x, dims),
    "transpose": lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else +x,
    "transpose_copy": lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else +x,
    "tril": lambda x, diagonal=0: np.tril(x, diagonal),
    "triu": lambda x, diagonal=0: np.triu(x, diagonal),
    "unbind": lambda x, dim=0: tuple(np.unstack(x, axis=dim)),
    "unbind_copy": lambda x, dim=0: tuple(np.unstack(x, axis=dim)),
    "unflatten": _unflatten,
    "unfold": _unfold,
    "unfold_copy": _unfold,
    "unsafe_chunk": _chunk,
    "unsafe_split": _split,
    "unsqueeze": lambda x, dim: np.expand_dims(x, dim),
    "unsqueeze_copy": lambda x, dim: np.expand_dims(x, dim),
    "view": _shaped,
    "view_as": lambda x, other: np.reshape(x, other.shape),
    "view_copy": _shaped,
    "vsplit": lambda x, at: tuple(np.vsplit(x, at)),
    "vstack": np.vstack,
    "zero_": np.zeros_like,
    "zeros_like": lambda x, **options: np.zeros_like(x),
    # Positions.
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


def _mean_like(
    x: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    correction: float | None = None,
) -> Any:
    return np.mean(x, axis=None if isinstance(dim, bool) else _axis(dim), keepdims=keepdim)


def _summed_to(x: Any, shape: Sequence[Any]) -> Any:
    if len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = shape[0]
    lead = x.ndim - len(shape)
    x = np.sum(x, axis=tuple(range(lead)))
    axes = tuple(a for a, n in enumerate(shape) if n == 1 and x.shape[a] != 1)
    return np.sum(x, axis=axes, keepdims=True)
