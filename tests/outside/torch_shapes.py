"""PyTorch's functions of shapes in NumPy's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import gradwire as gw
from outside.torch_words import Pair, not_offered

ops = gw.ops


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


def _summed_to(x: Any, shape: Sequence[Any]) -> Any:
    if len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = shape[0]
    lead = x.ndim - len(shape)
    x = np.sum(x, axis=tuple(range(lead)))
    axes = tuple(a for a, n in enumerate(shape) if n == 1 and x.shape[a] != 1)
    return np.sum(x, axis=axes, keepdims=True)


SHAPES: dict[str, Callable[..., Any] | Pair] = {
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
}
"""By the name in OpInfo."""
