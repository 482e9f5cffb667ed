"""Cases of the reduction family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special

from conformance.harness import (
    ANY,
    FLOATS,
    INEXACT,
    NUMERIC,
    ORDERED,
    REAL,
    Case,
    Rng,
    distinct,
    literal,
    nonzero,
    normal,
    uniform,
)
from gradwire.tensors import Array, Dtype

Maker = Callable[[Rng, Dtype, tuple[int, ...]], Array]

AXES: dict[str, Mapping[str, Any]] = {
    "": {"axis": (1,)},
    "keepdims": {"axis": (0, -1), "keepdims": True},
    "all": {"axis": (0, 1, 2)},
    "none": {"axis": ()},
}


def reductions(
    op: str,
    reference: Callable[..., Any],
    dtypes: Sequence[str],
    make: Maker = normal,
    variants: Mapping[str, Mapping[str, Any]] = AXES,
    **options: Any,
) -> list[Case]:
    """Cases over different axes: all dtypes over the first, two over the others."""
    few = tuple(name for name in dtypes if name in ("int32", "float64", "complex128"))
    return [
        Case(
            op,
            lambda r, d: [make(r, d, (2, 3, 2))],
            reference,
            few if name else tuple(dtypes),
            attrs=attrs,
            name=name,
            **options,
        )
        for name, attrs in variants.items()
    ]


def in_own_dtype(function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's function, told to keep the operand's dtype."""
    return lambda x, **attrs: function(x, dtype=x.dtype, **attrs)


def sparse(rng: Rng, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    """Numbers with zeros among them."""
    x = np.asarray(normal(rng, dtype, shape) * (rng.random(shape) < 0.6).astype(dtype))
    x[:, 0, :] = 0  # one slice of nothing but zeros
    return x


def with_zero(rng: Rng, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    """Numbers of which each slice holds a zero, and one slice two."""
    x = nonzero(rng, dtype, shape)
    x[:, 0, :] = 0
    x[0, 1, 0] = 0
    return x


def _var(x: Array, axis: tuple[int, ...], keepdims: bool = False, correction: float = 0) -> Array:
    centred = np.abs(x - np.mean(x, axis=axis, keepdims=True)) ** 2
    count = np.prod([x.shape[a] for a in axis]) - correction
    return np.asarray(np.sum(centred, axis=axis, keepdims=keepdims) / count)


def _scan(ufunc: np.ufunc) -> Callable[..., Any]:
    return lambda x, axis: ufunc.accumulate(x, axis=axis)


def _from_start(function: Callable[..., Any]) -> Callable[..., Any]:
    def scan(x: Array, axis: int, include_initial: bool = False) -> Array:
        result: Array = function(x, axis=axis, dtype=x.dtype, include_initial=include_initial)
        return result

    return scan


MEAN_AXES = {name: AXES[name] for name in ("", "keepdims", "all")}
ARG_AXES = {"": {"axis": 1}, "keepdims": {"axis": -1, "keepdims": True}}
RUNNING = {"": {"axis": 1}, "last": {"axis": -1}}
INITIAL = RUNNING | {"initial": {"axis": 1, "include_initial": True}}
SPREAD = {
    "": {"axis": (1,), "correction": 1.0},
    "keepdims": {"axis": (0, -1), "keepdims": True},
    "half": {"axis": (0, 1, 2), "correction": 0.5},
}

CASES = (
    *reductions("all", np.all, ANY, sparse),
    *reductions("any", np.any, ANY, sparse),
    *reductions("argmax", np.argmax, ORDERED, distinct, ARG_AXES),
    *reductions("argmin", np.argmin, ORDERED, distinct, ARG_AXES),
    *reductions("count_nonzero", np.count_nonzero, ANY, sparse),
    *reductions("cumulative_logsumexp", _scan(np.logaddexp), FLOATS, variants=RUNNING),
    *reductions("cumulative_max", _scan(np.maximum), REAL, distinct, RUNNING),
    *reductions("cumulative_min", _scan(np.minimum), REAL, distinct, RUNNING),
    *reductions("cumulative_prod", _from_start(np.cumulative_prod), NUMERIC, variants=INITIAL),
    *reductions("cumulative_sum", _from_start(np.cumulative_sum), NUMERIC, variants=INITIAL),
    *reductions("logsumexp", scipy.special.logsumexp, FLOATS),
    *reductions("max", np.max, ORDERED, distinct),
    *reductions("mean", np.mean, INEXACT, variants=MEAN_AXES),
    *reductions("min", np.min, ORDERED, distinct),
    *reductions("prod", in_own_dtype(np.prod), NUMERIC, nonzero),
    *reductions(
        "std", lambda x, **attrs: np.sqrt(_var(x, **attrs)), INEXACT, variants=SPREAD, step=1 / 64
    ),
    *reductions("sum", in_own_dtype(np.sum), NUMERIC),
    *reductions("var", _var, INEXACT, variants=SPREAD),
    # Zeros are no kink of a product, though dividing by an element would make them one.
    *reductions("prod", in_own_dtype(np.prod), ("float64",), with_zero, {"zeros": {"axis": (1,)}}),
    *reductions(
        "cumulative_prod",
        _from_start(np.cumulative_prod),
        ("float64",),
        with_zero,
        {"zeros": {"axis": 1}},
    ),
    *reductions(
        "logsumexp",
        lambda x, axis: np.log(np.sum(np.exp(x - 500), axis)) + 500,
        ("float32", "float64"),
        lambda r, d, s: uniform(r, d, s, 499, 501),
        {"large": {"axis": (1,)}},
    ),
    Case(
        "argmax",
        lambda r, d: [literal(d, [[1, np.nan, 2, np.nan], [3, 5, 5, 1]])],
        np.argmax,
        ("float32", "float64"),
        attrs={"axis": 1},
        name="nan_and_tie",
    ),
    Case(
        "logsumexp",
        lambda r, d: [literal(d, [[-np.inf, -np.inf], [np.inf, 1], [-np.inf, 2]])],
        scipy.special.logsumexp,
        ("float32", "float64"),
        attrs={"axis": (1,)},
        name="infinite",
        wrt=(),
    ),
    *(
        Case(
            op,
            lambda r, d: [np.zeros((0, 3), d)],
            lambda x, axis, v=value: np.full(3, v),
            ("float32", "float64"),
            attrs={"axis": (0,)},
            name="empty",
            wrt=() if np.isnan(value) or np.isinf(value) else None,
        )
        for op, value in {
            "logsumexp": -np.inf,
            "mean": np.nan,
            "prod": 1.0,
            "sum": 0.0,
            "var": np.nan,
        }.items()
    ),
)
