"""Cases of the index family."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from conformance.harness import (
    ANY,
    FLOATS,
    INTEGERS,
    NUMERIC,
    ORDERED,
    REAL,
    Case,
    Make,
    Rng,
    distinct,
    normal,
    positive,
)
from gradwire.opset.core import At, ByArray, Index, NewAxis, Range
from gradwire.tensors import Array, Dtype

ALL = Range(None, None, None)
FEW = ("int32", "float64", "complex128")

# A value in bounds, one from the end, one too large, one far too small: and twice the first.
POSITIONS = np.array([1, -1, 7, -9, 1])


def _clamped(positions: Array, length: int) -> Array:
    wide = positions.astype(np.int64)
    return np.clip(np.where(wide < 0, wide + length, wide), 0, length - 1)


def numpy_key(index: Index, shape: Sequence[int], arrays: Sequence[Array]) -> tuple[Any, ...]:
    """Returns the subscript as NumPy writes it, position arrays clamped."""
    lengths, left = iter(shape), iter(arrays)

    def item_key(item: At | Range | NewAxis | ByArray) -> Any:
        match item:
            case NewAxis():
                return None
            case At(position):
                next(lengths)
                return position
            case Range(start, stop, step):
                next(lengths)
                return slice(start, stop, step)
            case ByArray():
                return _clamped(next(left), next(lengths))

    return tuple(item_key(item) for item in index)


def _getitem(x: Array, *arrays: Array, index: Index) -> Array:
    return np.asarray(x[numpy_key(index, x.shape, arrays)])


def _update(function: Callable[..., None]) -> Callable[..., Array]:
    def update(x: Array, value: Array, *arrays: Array, index: Index) -> Array:
        result = x.copy()
        function(result, numpy_key(index, x.shape, arrays), value)
        return result

    return update


def _set(x: Array, key: tuple[Any, ...], value: Array) -> None:
    x[key] = value


UPDATES: dict[str, tuple[Callable[..., Array], tuple[str, ...]]] = {
    "index_add": (_update(np.add.at), NUMERIC),
    "index_max": (_update(np.maximum.at), REAL),
    "index_min": (_update(np.minimum.at), REAL),
    "index_multiply": (_update(np.multiply.at), NUMERIC),
    "index_set": (_update(_set), ANY),
}


def _operands(*shapes: tuple[int, ...], positions: Sequence[Array] = ()) -> Make:
    """Operands of the dtype, far apart where they can be, then position arrays."""

    def make(rng: Rng, dtype: Dtype) -> Sequence[Array]:
        sizes = [int(np.prod(shape)) for shape in shapes]
        if dtype.kind == "c" or dtype.kind == "b" or dtype.itemsize == 1:
            return [*(normal(rng, dtype, shape) for shape in shapes), *positions]
        pieces = np.split(distinct(rng, dtype, (sum(sizes),)), np.cumsum(sizes)[:-1])
        return [*(p.reshape(s) for p, s in zip(pieces, shapes, strict=True)), *positions]

    return make


def _reads() -> Iterator[Case]:
    cases: list[tuple[str, tuple[int, ...], Index, list[Array]]] = [
        ("", (3, 4, 2), (At(1), Range(None, None, -1), NewAxis()), []),
        ("last", (3, 4), (At(-1), At(-4)), []),
        ("nothing", (3, 4), (), []),
        ("steps", (5, 4, 3), (Range(-1, 0, -2), ALL, Range(1, 99, None)), []),
        ("empty", (5, 4), (Range(3, 1, None), Range(0, 4, 1)), []),
        ("array", (3, 4), (ByArray(),), [POSITIONS]),
        ("behind", (2, 3, 4), (ALL, ByArray()), [POSITIONS.reshape(1, 5)]),
        ("scalar", (3, 4), (ALL, ByArray()), [np.array(-2)]),
        ("pair", (3, 4, 2), (ByArray(), ByArray()), [POSITIONS, np.array([[0], [-1]])]),
        ("apart", (3, 2, 4), (ByArray(), ALL, ByArray()), [POSITIONS, POSITIONS]),
        ("at_apart", (3, 2, 4), (At(1), ALL, ByArray()), [POSITIONS]),
        ("at_beside", (2, 3, 4), (ALL, At(1), ByArray()), [POSITIONS]),
        ("new_between", (3, 4), (ByArray(), NewAxis(), ByArray()), [POSITIONS, POSITIONS]),
        ("new_before", (3, 4), (NewAxis(), ALL, ByArray()), [POSITIONS]),
        ("no_position", (3, 4), (ByArray(),), [np.zeros((0, 2), np.int32)]),
    ]
    for name, shape, index, positions in cases:
        yield Case(
            "getitem",
            _operands(shape, positions=positions),
            _getitem,
            FEW if name else ANY,
            {"index": index},
            name,
        )


def _writes() -> Iterator[Case]:
    unique = np.array([2, -4])
    cases: list[tuple[str, tuple[int, ...], tuple[int, ...], Index, list[Array]]] = [
        ("", (3, 4), (3, 1), (ALL, Range(1, 3, None)), []),
        ("at", (3, 4), (), (At(-1), At(0)), []),
        ("reversed", (2, 3), (2, 3), (ALL, Range(None, None, -1)), []),
        ("new", (2, 3), (2, 1), (ALL, NewAxis(), At(1)), []),
        ("array", (2, 4), (2, 2), (ALL, ByArray()), [unique]),
        ("apart", (3, 2, 4), (2, 1), (ByArray(), ALL, ByArray()), [unique % 3, unique]),
    ]
    repeated = ("repeated", (2, 4), (2, 5), (ALL, ByArray()), [POSITIONS])
    for op, (reference, dtypes) in UPDATES.items():
        for name, shape, value, index, positions in cases + [repeated] * (op != "index_set"):
            yield Case(
                op,
                _operands(shape, value, positions=positions),
                reference,
                tuple(d for d in FEW if d in dtypes) if name else dtypes,
                {"index": index},
                name,
            )


def _position_dtypes() -> Iterator[Case]:
    """Positions of every integer dtype, on an axis longer than int8 reaches."""
    long = np.arange(300.0)

    def positions(dtype: Dtype) -> Array:
        exact = dtype if dtype.kind in "iu" else np.dtype(np.int64)
        info = np.iinfo(exact)
        most, least = int(info.max), int(info.min)
        return np.array([0, 5, -1 if least else 6, 127, most, least], exact).astype(dtype)

    yield Case(
        "getitem",
        lambda r, d: [long, positions(d)],
        _far,
        INTEGERS,
        {"index": (ByArray(),)},
        "position_dtypes",
        wrt=(),
    )
    yield Case(
        "take",
        lambda r, d: [long, positions(d)],
        _far,
        INTEGERS,
        {"axis": 0},
        "position_dtypes",
        wrt=(),
    )
    yield Case(
        "dynamic_slice",
        lambda r, d: [long, positions(d)[4]],
        lambda x, start, slice_sizes: x[min(int(start), 298) :][:2],
        INTEGERS,
        {"slice_sizes": (2,)},
        "position_dtypes",
        wrt=(),
    )


def _far(x: Array, positions: Array, **attrs: Any) -> Array:
    exact = [int(p) for p in positions]
    return x[[min(max(p + 300 * (p < 0), 0), 299) for p in exact]]


def _take(x: Array, positions: Array, axis: int) -> Array:
    return np.take(x, _clamped(positions, x.shape[axis]), axis)


def _take_along_axis(x: Array, positions: Array, axis: int) -> Array:
    return np.take_along_axis(x, _clamped(positions, x.shape[axis]), axis)


def _starts(x: Array, starts: Sequence[Array], sizes: Sequence[int]) -> tuple[slice, ...]:
    starts = [int(s) + n * (s < 0) for s, n in zip(starts, x.shape, strict=True)]
    starts = [min(max(s, 0), n - m) for s, n, m in zip(starts, x.shape, sizes, strict=True)]
    return tuple(slice(s, s + m) for s, m in zip(starts, sizes, strict=True))


def _dynamic_slice(x: Array, *starts: Array, slice_sizes: tuple[int, ...]) -> Array:
    return x[_starts(x, starts, slice_sizes)]


def _dynamic_update_slice(x: Array, update: Array, *starts: Array) -> Array:
    result = x.copy()
    result[_starts(x, starts, update.shape)] = update
    return result


def _argsort(x: Array, axis: int, descending: bool = False, stable: bool = True) -> Array:
    """Stable in both directions: a descending sort is one of the mirrored ranks."""
    ranks = np.unique(x, return_inverse=True)[1].reshape(x.shape)
    return np.argsort(-ranks if descending else ranks, axis, kind="stable")


def _sort(x: Array, **attrs: Any) -> Array:
    return np.take_along_axis(x, _argsort(x, **attrs), attrs["axis"])


def _top_k(x: Array, k: int) -> tuple[Array, Array]:
    order = _argsort(x, -1, descending=True)[..., :k]
    return np.take_along_axis(x, order, -1), order


def _one_hot(x: Array, num_classes: int, dtype: Dtype) -> Array:
    return (x[..., None].astype(object) == np.arange(num_classes)).astype(dtype)


def _knots(rng: Rng, dtype: Dtype) -> Sequence[Array]:
    # The points stay off the knots by more than the steps of the differences.
    x = np.array([[-0.5, 0.45, 1.55], [2.4, 3.1, 5.5]]).astype(dtype)
    xp = np.array([0.0, 1.0, 2.0, 2.75, 4.0]).astype(dtype)
    return [x, xp, normal(rng, dtype, (5,))]


def _ties(rng: Rng, dtype: Dtype) -> Sequence[Array]:
    return [np.asarray(rng.integers(0, 3, (2, 6))).astype(dtype)]


def _sorted_and_values(rng: Rng, dtype: Dtype) -> Sequence[Array]:
    return [np.sort(_ties(rng, dtype)[0].ravel()), normal(rng, dtype, (2, 4))]


def _sorts() -> Iterator[Case]:
    for op, reference in (("sort", _sort), ("argsort", _argsort)):
        for name, attrs in (
            ("", {"axis": 1}),
            ("descending", {"axis": -1, "descending": True}),
            ("rows", {"axis": 0, "descending": False, "stable": False}),
        ):
            dtypes = ("int32", "float64") if name else ORDERED
            yield Case(op, _operands((2, 5)), reference, dtypes, attrs, name)
        for descending in (False, True):
            attrs = {"axis": -1, "descending": descending}
            name = f"ties_{'down' if descending else 'up'}"
            yield Case(op, _ties, reference, ("float64",), attrs, name, wrt=())


CASES = (
    *_reads(),
    *_writes(),
    *_position_dtypes(),
    *_sorts(),
    Case("take", _operands((3, 4), positions=[POSITIONS]), _take, ANY, {"axis": -1}),
    Case(
        "take",
        _operands((2, 3, 2), positions=[POSITIONS.reshape(1, 5)]),
        _take,
        FEW,
        {"axis": 1},
        "inner",
    ),
    Case(
        "take_along_axis",
        _operands((2, 4), positions=[np.array([[0, -1, 9], [2, 2, -9]])]),
        _take_along_axis,
        ANY,
        {"axis": -1},
    ),
    Case(
        "take_along_axis",
        _operands((3, 1, 4), positions=[np.array([[[0]], [[1]], [[2]]]).repeat(2, 1)]),
        _take_along_axis,
        FEW,
        {"axis": 2},
        "broadcast",
    ),
    Case(
        "dynamic_slice",
        _operands((3, 4), positions=[np.array(1), np.array(-3)]),
        _dynamic_slice,
        ANY,
        {"slice_sizes": (2, 2)},
    ),
    Case(
        "dynamic_slice",
        _operands((3, 4), positions=[np.array(2, np.uint8), np.array(-9, np.int8)]),
        _dynamic_slice,
        FEW,
        {"slice_sizes": (3, 0)},
        "moved_inside",
    ),
    Case(
        "dynamic_update_slice",
        _operands((3, 4), (2, 2), positions=[np.array(1), np.array(-3)]),
        _dynamic_update_slice,
        ANY,
    ),
    Case(
        "dynamic_update_slice",
        _operands((2, 4), (2, 3), positions=[np.array(7), np.array(2, np.int16)]),
        _dynamic_update_slice,
        FEW,
        name="moved_inside",
    ),
    Case("top_k", _operands((2, 6)), _top_k, ORDERED, {"k": 3}),
    Case("top_k", _ties, _top_k, ("int32", "float64"), {"k": 4}, "ties", wrt=()),
    Case("top_k", _operands((2, 3)), _top_k, ("float64",), {"k": 0}, "none"),
    Case("searchsorted", _sorted_and_values, np.searchsorted, REAL, {"side": "left"}),
    Case(
        "searchsorted", _sorted_and_values, np.searchsorted, ("int8",), {"side": "right"}, "right"
    ),
    Case(
        "one_hot",
        lambda r, d: [normal(r, d, (2, 5))],
        _one_hot,
        INTEGERS,
        {"num_classes": 4, "dtype": np.dtype(np.float32)},
    ),
    Case(
        "one_hot",
        lambda r, d: [np.array([-128, -56, 127]).astype(d)],
        _one_hot,
        ("int8",),
        {"num_classes": 300, "dtype": np.dtype(np.bool_)},
        "many_classes",
    ),
    Case("interp", _knots, np.interp, FLOATS),
    Case(
        "interp",
        lambda r, d: [normal(r, d, (3,)), positive(r, d, (1,)), normal(r, d, (1,))],
        lambda x, xp, fp: np.broadcast_to(fp, x.shape),
        ("float64",),
        name="one_knot",
    ),
)
