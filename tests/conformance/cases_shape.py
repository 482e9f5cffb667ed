"""Cases of the shape family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance.harness import ANY, Case, Make, Rng, normal
from gradwire.tensors import Array, Dtype

FEW = ("bool", "int32", "float64", "complex128")


def _one(*shape: int) -> Make:
    return lambda rng, dtype: [normal(rng, dtype, shape)]


def _several(*shapes: tuple[int, ...]) -> Make:
    return lambda rng, dtype: [normal(rng, dtype, shape) for shape in shapes]


def _case(
    op: str,
    make: Make,
    reference: Callable[..., Any],
    attrs: dict[str, Any] | None = None,
    name: str = "",
) -> Case:
    """An op's first case, without a name, is tested in every dtype."""
    return Case(op, make, reference, FEW if name else ANY, attrs or {}, name)


def _concat(*arrays: Array, axis: int) -> Array:
    return np.concatenate(arrays, axis)


def _diag(x: Array, k: int) -> Array:
    rows = [np.diag(row, k) for row in x.reshape(-1, x.shape[-1])]
    size = x.shape[-1] + abs(k)
    return np.stack(rows).reshape(*x.shape[:-1], size, size)


def _pad(x: Array, *value: Array, pad_width: tuple[int, ...], mode: str = "constant") -> Array:
    pairs = list(zip(pad_width[::2], pad_width[1::2], strict=True))
    more = {"constant_values": value[0]} if value else {}
    return np.pad(x, pairs, mode, **more)  # type: ignore[call-overload]


def _scalar_too(rng: Rng, dtype: Dtype) -> Sequence[Array]:
    return [normal(rng, dtype, (2, 3)), normal(rng, dtype, ())]


CASES = (
    _case("broadcast_to", _one(3, 1), np.broadcast_to, {"shape": (2, 3, 4)}),
    _case("broadcast_to", _one(), np.broadcast_to, {"shape": (2, 0)}, "scalar"),
    _case("broadcast_to", _one(1), np.broadcast_to, {"shape": (1, 3)}, "one_stretched"),
    _case("concat", _several((2, 3), (2, 1), (2, 0)), _concat, {"axis": -1}),
    _case("concat", _several((2, 3), (3, 3)), _concat, {"axis": 0}, "rows"),
    _case("concat", _several((2, 3)), _concat, {"axis": 0}, "one"),
    _case("diag", _one(3), _diag, {"k": 0}),
    _case("diag", _one(2, 3), _diag, {"k": 2}, "above"),
    _case("diag", _one(2, 3), _diag, {"k": -1}, "below"),
    _case("expand_dims", _one(2, 3), np.expand_dims, {"axis": (0, -1)}),
    _case("expand_dims", _one(2, 3), np.expand_dims, {"axis": (2, 1)}, "between"),
    _case("expand_dims", _one(2), np.expand_dims, {"axis": ()}, "none"),
    _case("flip", _one(2, 3, 4), np.flip, {"axis": (0, -1)}),
    _case("matrix_transpose", _one(2, 3, 4), np.matrix_transpose),
    _case("pad", _one(2, 3), _pad, {"pad_width": (1, 0, 2, 3), "mode": "constant"}),
    _case("pad", _scalar_too, _pad, {"pad_width": (1, 0, 2, 3)}, "value"),
    _case("pad", _one(2, 0), _pad, {"pad_width": (1, 0, 2, 0)}, "empty"),
    _case("pad", _one(2, 3), _pad, {"pad_width": (0, 0, 5, 4), "mode": "edge"}, "edge"),
    _case("pad", _one(1, 3), _pad, {"pad_width": (0, 0, 2, 1), "mode": "reflect"}, "reflect"),
    _case("pad", _one(2, 3), _pad, {"pad_width": (2, 1, 3, 1), "mode": "symmetric"}, "symmetric"),
    _case("pad", _one(2, 3), _pad, {"pad_width": (2, 1, 3, 1), "mode": "wrap"}, "wrap"),
    _case("permute_dims", _one(2, 3, 4), np.transpose, {"axes": (2, 0, -2)}),
    _case("permute_dims", _one(), np.transpose, {"axes": ()}, "scalar"),
    _case("repeat", _one(2, 3), np.repeat, {"repeats": 3, "axis": -1}),
    _case("repeat", _one(2, 3), np.repeat, {"repeats": 0, "axis": 0}, "never"),
    _case("reshape", _one(2, 3, 4), np.reshape, {"shape": (6, 1, 4)}),
    _case("reshape", _one(2, 3, 2), np.reshape, {"shape": (2, 6)}, "keeps_first"),
    _case("reshape", _one(2, 3, 2), np.reshape, {"shape": (1, 2, 3, 2, 1)}, "ones"),
    _case("reshape", _one(2, 2, 3), np.reshape, {"shape": (4, 3)}, "keeps_last"),
    _case("reshape", _one(1), np.reshape, {"shape": ()}, "to_scalar"),
    _case("reshape", _one(0, 3), np.reshape, {"shape": (7, 0)}, "empty"),
    _case("roll", _one(3, 4), np.roll, {"shift": (5, -1), "axis": (0, -1)}),
    _case("roll", _one(3, 4), np.roll, {"shift": (2,), "axis": (1,)}, "one_axis"),
    _case(
        "split",
        _one(2, 5),
        lambda x, axis, indices: np.split(x, list(indices), axis),
        {"axis": 1, "indices": (0, 2, 2, 5)},
    ),
    _case("squeeze", _one(1, 2, 1, 3), np.squeeze, {"axis": (0, -2)}),
    _case("squeeze", _one(1, 2, 1, 3), np.squeeze, {"axis": (2,)}, "one_axis"),
    _case("stack", _several((2, 3), (2, 3)), lambda *x, axis: np.stack(x, axis), {"axis": -1}),
    _case(
        "stack",
        _several((2, 3), (2, 3)),
        lambda *x, axis: np.stack(x, axis),
        {"axis": 1},
        "between",
    ),
    _case(
        "tile",
        _one(2, 3),
        lambda x, repetitions: np.tile(x, repetitions),
        {"repetitions": (2, 1, 3)},
    ),
    _case(
        "tile",
        _one(2, 2, 3),
        lambda x, repetitions: np.tile(x, repetitions),
        {"repetitions": (2,)},
        "short",
    ),
    _case("tril", _one(2, 3, 4), np.tril, {"k": 1}),
    _case("triu", _one(2, 4, 3), np.triu, {"k": -1}),
    _case("unstack", _one(2, 3), lambda x, axis: np.unstack(x, axis=axis), {"axis": 1}),
    _case("unstack", _one(3, 2), lambda x, axis: np.unstack(x, axis=axis), {"axis": 0}, "first"),
)
