"""Cases of the special functions, against SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special

from conformance.harness import FLOATS, INEXACT, Case, Rng, literal, positive, uniform
from gradwire.tensors import Array, Dtype

SHAPE = (2, 3)
DOUBLE = ("float32", "float64")


def unary(function: str, low: float, high: float, **options: Any) -> Case:
    """A case of SciPy's function of that name, on numbers between two bounds."""

    def make(rng: Rng, dtype: Dtype) -> list[Array]:
        return [uniform(rng, dtype, SHAPE, low, high)]

    return _case(function, make, **options)


def binary(function: str, **options: Any) -> Case:
    """A case of a function of two positive numbers."""

    def make(rng: Rng, dtype: Dtype) -> list[Array]:
        return [positive(rng, dtype, SHAPE), positive(rng, dtype, (3,))]

    return _case(function, make, **options)


def points(function: str, *operands: Sequence[float], **options: Any) -> Case:
    """A case at chosen numbers."""

    def make(rng: Rng, dtype: Dtype) -> list[Array]:
        del rng
        return [literal(dtype, values) for values in operands]

    return _case(function, make, **{"dtypes": DOUBLE, "name": "points", **options})


def _case(function: str, make: Any, dtypes: Sequence[str] = FLOATS, **options: Any) -> Case:
    reference = options.pop("reference", None) or getattr(scipy.special, function)
    return Case(f"special.{function}", make, reference, tuple(dtypes), **options)


def _betainc(rng: Rng, dtype: Dtype) -> list[Array]:
    a, b = positive(rng, dtype, SHAPE), positive(rng, dtype, (3,))
    return [a, b, uniform(rng, dtype, SHAPE, 0.15, 0.85)]


def _zeta(rng: Rng, dtype: Dtype) -> list[Array]:
    return [uniform(rng, dtype, SHAPE, 1.5, 4), positive(rng, dtype, (3,))]


INF, NAN = np.inf, np.nan

CASES = (
    _case("betainc", _betainc),
    points("betainc", [0, 2, 2, 3, 9], [1, 0.5, 3, 4, 40], [0.5, 0, 1, 0.3, 0.2], wrt=(), ulps=128),
    # In float32 the logarithms of the factors are near 200: 2e-5.
    points(
        "betainc",
        [30, 0.5, 90],
        [40, 0.5, 3],
        [0.4, 0.9, 0.97],
        name="large",
        wrt=(0,),
        step=1 / 64,
        ulps=1024,
    ),
    binary("beta", ulps=64),
    binary("betaln"),
    points("betaln", [30, 2, 9, 0.3], [40, 2, 0.2, 60], step=1 / 128, ulps=64),
    unary("digamma", 0.4, 4, ulps=32),
    unary("digamma", -1.7, -1.3, name="negative", ulps=64),
    unary("entr", 0.2, 3),
    points("entr", [0, -1, 1, INF, NAN], wrt=()),
    unary("erf", -2, 2),
    unary("erfc", -2, 2),
    unary("erfc", 2, 4, name="tail", dtypes=DOUBLE, relative=True, ulps=64),
    unary("erfcinv", 0.1, 1.9),
    points("erfcinv", [0, 1e-30, 1, 2, 3], wrt=()),
    unary("erfcx", -2, 2.5, ulps=32),
    points("erfcx", [0, 2.8, 3, 40, 1e10, INF], name="tail", wrt=(), relative=True, ulps=32),
    unary("erfinv", -0.9, 0.9),
    points("erfinv", [-1, 0, 1, 2], wrt=()),
    unary("expit", -4, 4),
    points("expit", [-INF, -700, 0, 700, INF, NAN], wrt=()),
    unary("gamma", 0.4, 4, ulps=32),
    unary("gamma", -1.7, -1.3, name="negative", ulps=64),
    points("gamma", [0, -1, 33, INF, NAN], wrt=(), relative=True, ulps=64),
    binary("gammainc"),
    points("gammainc", [0.5, 1, 30, 30], [3, 2, 25, 40], step=1 / 64, ulps=128),
    points("gammainc", [1, 1, 2, NAN], [0, INF, NAN, 1], name="ends", wrt=()),
    binary("gammaincc"),
    points("gammaincc", [0.5, 1, 30, 30], [3, 2, 25, 40], step=1 / 64, ulps=128),
    unary("gammaln", 0.4, 4, ulps=32),
    unary("gammaln", -1.7, -1.3, name="negative", ulps=64),
    unary("i0", -3, 3),
    unary("i0e", 0.2, 3),
    unary("i1", -3, 3),
    unary("i1e", 0.2, 3),
    *(points(name, [0.0, 1e-8, 1.9, 2.1, 30], step=1 / 16) for name in ("i0", "i1")),
    *(points(name, [0.5, 1.9, 2.1, 30, 900], step=1 / 16) for name in ("i0e", "i1e")),
    binary("kl_div"),
    points("kl_div", [0, 0, 2, -1, 0, NAN], [2, 0, 0, 2, -1, 1], wrt=()),
    points("kl_div", [3, 2, 4], [3.25, 1.75, 8], name="near", relative=True, ulps=64),
    unary("log_ndtr", -3, 3),
    points("log_ndtr", [-30, -20.1, -12, -5, 0, 8], relative=True, ulps=128),
    unary("loggamma", 0.4, 4, ulps=32),
    points("loggamma", [0, -0.5, 1e6], wrt=(), relative=True, ulps=32),
    unary("logit", 0.15, 0.85),
    points("logit", [0, 1, 2, NAN], wrt=()),
    unary("ndtr", -3, 3),
    unary("ndtri", 0.15, 0.85),
    points("ndtri", [0, 1e-30, 0.5, 1, 2], wrt=()),
    *(
        unary(
            "polygamma",
            0.4,
            4,
            attrs={"n": order},
            reference=lambda x, n: scipy.special.polygamma(n, x),
            name=str(order),
            ulps=64,
        )
        for order in (0, 1, 3)
    ),
    binary("rel_entr"),
    points("rel_entr", [0, 0, 2, -1, 0, NAN], [2, 0, 0, 2, -1, 1], wrt=()),
    unary("sinc", -1.8, 1.8, reference=np.sinc, dtypes=INEXACT),
    points("sinc", [0.0, 1e-9, 0.25, 0.49, 0.51], reference=np.sinc),
    binary("xlog1py"),
    points("xlog1py", [0, 0, 1], [-1, INF, -1], wrt=()),
    binary("xlogy"),
    points("xlogy", [0, 0, 0, 2, NAN], [0, INF, NAN, 0, 1], wrt=()),
    _case("zeta", _zeta),
)
