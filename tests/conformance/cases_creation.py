"""Cases of the creation family."""

from __future__ import annotations

import numpy as np

from conformance.harness import ANY, INEXACT, NUMERIC, Case, Rng, normal
from gradwire.tensors import Array, Dtype


def _nothing(rng: Rng, dtype: Dtype) -> list[Array]:
    del rng, dtype
    return []


def _ends(rng: Rng, dtype: Dtype) -> list[Array]:
    return [normal(rng, dtype, (2, 3)), normal(rng, dtype, (3,))]


def _linspace(start: Array, stop: Array, num: int, endpoint: bool = True) -> Array:
    return np.linspace(start, stop, num, endpoint=endpoint, dtype=start.dtype)


CASES = (
    Case(
        "eye",
        _nothing,
        lambda dtype, n_rows, n_cols, k: np.eye(n_rows, n_cols, k, dtype),
        ANY,
        attrs=lambda d: {"dtype": d, "n_rows": 3, "n_cols": 4, "k": 1},
    ),
    Case(
        "eye",
        _nothing,
        lambda dtype, n_rows, n_cols, k: np.zeros((n_rows, n_cols), dtype),
        ("float32", "int8"),
        attrs=lambda d: {"dtype": d, "n_rows": 2, "n_cols": 3, "k": -(2**62)},
        name="far",
    ),
    Case(
        "full",
        lambda r, d: [normal(r, d, ())],
        lambda value, shape: np.full(shape, value),
        ANY,
        attrs={"shape": (2, 3)},
    ),
    Case(
        "iota",
        _nothing,
        lambda dtype, shape, axis: np.broadcast_to(np.arange(3).astype(dtype), shape),
        NUMERIC,
        attrs=lambda d: {"dtype": d, "shape": (2, 3), "axis": -1},
    ),
    Case("linspace", _ends, _linspace, INEXACT, attrs={"num": 5}),
    Case(
        "linspace",
        _ends,
        _linspace,
        ("float32", "float64"),
        attrs={"num": 4, "endpoint": False},
        name="open",
    ),
    *(
        Case("linspace", _ends, _linspace, ("float64",), attrs={"num": num}, name=f"{num}", wrt=())
        for num in (0, 1)
    ),
)
