"""Special functions against the tables of values that SciPy is tested with, and mpmath."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import special

import gradwire as gw
from outside.in_process import run_all

ops = gw.ops

# The table, the function, the columns of its arguments and of its values, and
# the error allowed, relative to the value. The tables are Boost's, but for the
# two of `local`, which mpmath made.
TABLES: tuple[tuple[str, Callable[..., Any], tuple[int, ...], int, float], ...] = (
    (
        "boost/beta_exp_data_ipp-beta_exp_data",
        lambda a, b: np.exp(ops.special.betaln(a, b)),
        (0, 1),
        2,
        1e-11,
    ),
    (
        "boost/beta_med_data_ipp-beta_med_data",
        lambda a, b: np.exp(ops.special.betaln(a, b)),
        (0, 1),
        2,
        1e-11,
    ),
    ("boost/ibeta_small_data_ipp-ibeta_small_data", special.betainc, (0, 1, 2), 5, 1e-11),
    ("boost/ibeta_data_ipp-ibeta_data", special.betainc, (0, 1, 2), 5, 1e-11),
    ("boost/ibeta_int_data_ipp-ibeta_int_data", special.betainc, (0, 1, 2), 5, 1e-11),
    ("boost/ibeta_large_data_ipp-ibeta_large_data", special.betainc, (0, 1, 2), 5, 1e-8),
    ("boost/cbrt_data_ipp-cbrt_data", np.cbrt, (1,), 0, 1e-14),
    ("boost/digamma_data_ipp-digamma_data", special.digamma, (0,), 1, 1e-13),
    ("boost/digamma_neg_data_ipp-digamma_neg_data", special.digamma, (0,), 1, 1e-11),
    ("boost/digamma_root_data_ipp-digamma_root_data", special.digamma, (0,), 1, 1e-11),
    ("boost/digamma_small_data_ipp-digamma_small_data", special.digamma, (0,), 1, 1e-14),
    ("boost/erf_data_ipp-erf_data", special.erf, (0,), 1, 1e-14),
    ("boost/erf_data_ipp-erf_data", special.erfc, (0,), 2, 1e-13),
    ("boost/erf_large_data_ipp-erf_large_data", special.erf, (0,), 1, 1e-14),
    ("boost/erf_large_data_ipp-erf_large_data", special.erfc, (0,), 2, 1e-12),
    ("boost/erf_small_data_ipp-erf_small_data", special.erf, (0,), 1, 1e-14),
    ("boost/erf_small_data_ipp-erf_small_data", special.erfc, (0,), 2, 1e-14),
    ("boost/erf_inv_data_ipp-erf_inv_data", special.erfinv, (0,), 1, 1e-12),
    ("boost/test_gamma_data_ipp-near_0", special.gammaln, (0,), 2, 1e-13),
    ("boost/test_gamma_data_ipp-near_1", special.gammaln, (0,), 2, 1e-10),
    ("boost/test_gamma_data_ipp-near_2", special.gammaln, (0,), 2, 1e-10),
    ("boost/test_gamma_data_ipp-near_m10", special.gammaln, (0,), 2, 1e-10),
    ("boost/test_gamma_data_ipp-near_m55", special.gammaln, (0,), 2, 1e-10),
    ("boost/test_gamma_data_ipp-factorials", special.gammaln, (0,), 2, 1e-13),
    ("boost/igamma_small_data_ipp-igamma_small_data", special.gammainc, (0, 1), 5, 1e-11),
    ("boost/igamma_med_data_ipp-igamma_med_data", special.gammainc, (0, 1), 5, 1e-11),
    ("boost/igamma_int_data_ipp-igamma_int_data", special.gammainc, (0, 1), 5, 1e-11),
    ("boost/igamma_big_data_ipp-igamma_big_data", special.gammainc, (0, 1), 5, 1e-9),
    ("boost/igamma_small_data_ipp-igamma_small_data", special.gammaincc, (0, 1), 3, 1e-11),
    ("boost/igamma_med_data_ipp-igamma_med_data", special.gammaincc, (0, 1), 3, 1e-11),
    ("boost/igamma_int_data_ipp-igamma_int_data", special.gammaincc, (0, 1), 3, 1e-11),
    ("boost/igamma_big_data_ipp-igamma_big_data", special.gammaincc, (0, 1), 3, 1e-9),
    ("boost/log1p_expm1_data_ipp-log1p_expm1_data", np.log1p, (0,), 1, 3e-14),
    ("boost/log1p_expm1_data_ipp-log1p_expm1_data", np.expm1, (0,), 2, 1e-14),
    ("boost/sinc_data_ipp-sinc_data", lambda x: np.sinc(x / np.pi), (0,), 1, 1e-14),
    ("boost/zeta_1_up_data_ipp-zeta_1_up_data", lambda x: ops.special.zeta(x, 1.0), (0,), 1, 1e-13),
    ("local/gammainc", special.gammainc, (0, 1), 2, 1e-10),
    ("local/gammaincc", special.gammaincc, (0, 1), 2, 1e-10),
    ("local/log1p_expm1_complex", np.log1p, (0, 1), 2, 1e-12),
    ("local/log1p_expm1_complex", np.expm1, (0, 1), 4, 1e-12),
)


ABSOLUTE = 4e-15
"""What is allowed next to a zero of a function, where an argument's rounding counts as much."""


@cache
def _tables(name: str) -> Any:
    with resources.files("scipy.special.tests.data").joinpath(f"{name}.npz").open("rb") as file:
        loaded = np.load(file)
        return {key: loaded[key] for key in loaded.files}


def _assert_near(got: Any, want: Any, tolerance: float, points: Any) -> None:
    """Relatively near in every element, where the value isn't subnormal."""
    apart = np.abs(got - want) > tolerance * np.abs(want) + ABSOLUTE
    wrong = apart & ~(got == want) | (np.isnan(got) != np.isnan(want))
    place = np.flatnonzero(wrong)[:5]
    lines = [f"at {[float(p[i]) for p in points]}: {got[i]}, should be {want[i]}" for i in place]
    assert not wrong.any(), f"{wrong.sum()} of {len(got)} wrong\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("table", "function", "arguments", "value", "tolerance"),
    [
        pytest.param(*row, id=f"{row[0].split('-')[-1].split('/')[-1]}-{number}")
        for number, row in enumerate(TABLES)
    ],
)
def test_values_are_those_of_scipys_tables(
    table: str,
    function: Callable[..., Any],
    arguments: tuple[int, ...],
    value: int,
    tolerance: float,
) -> None:
    """Each row of the table, relative to the value; infinities and NaN alike."""
    library, name = table.split("/")
    rows = _tables(library)[name]
    points = [rows[:, column] for column in arguments]
    want = rows[:, value]
    operands = points
    if name.endswith("complex"):
        operands, want = [points[0] + 1j * points[1]], want + 1j * rows[:, value + 1]
    (got,) = run_all([(function, operands)])[0]
    _assert_near(got, want, tolerance, points)


# --- mpmath --------------------------------------------------------------------------

WIDE = np.concatenate([[0.0], *(s * np.logspace(-3, e, 15) for s, e in ((1, 2.5), (-1, 1.4)))])
POSITIVE = np.logspace(-3, 2.5, 30)
UNIT = np.concatenate(
    [np.logspace(-8, -1, 8), np.linspace(0.15, 0.85, 8), 1 - np.logspace(-1, -8, 8)]
)


def _ndtr(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


MPMATH: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any, float]] = {
    "entr": (special.entr, lambda x: -x * mpmath.log(x), POSITIVE, 1e-13),
    "erf": (special.erf, mpmath.erf, WIDE, 1e-13),
    "expit": (special.expit, lambda x: 1 / (1 + mpmath.exp(-x)), WIDE, 1e-13),
    "gammaln": (special.gammaln, lambda x: mpmath.log(mpmath.gamma(x)), POSITIVE, 1e-11),
    "i0": (special.i0, lambda x: mpmath.besseli(0, x), WIDE, 1e-12),
    "i0e": (special.i0e, lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)), WIDE, 1e-12),
    "i1": (special.i1, lambda x: mpmath.besseli(1, x), WIDE, 1e-12),
    "i1e": (special.i1e, lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)), WIDE, 1e-12),
    "log_ndtr": (special.log_ndtr, lambda x: mpmath.log(_ndtr(x)), WIDE, 1e-11),
    "logit": (special.logit, lambda x: mpmath.log(x / (1 - x)), UNIT, 1e-11),
    "ndtr": (special.ndtr, _ndtr, WIDE, 1e-12),
    "ndtri": (
        special.ndtri,
        lambda p: mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1),
        UNIT,
        1e-11,
    ),
    **{
        f"polygamma-{n}": (
            lambda x, n=n: ops.special.polygamma(x, n=n),
            lambda x, n=n: mpmath.polygamma(n, x),
            POSITIVE,
            1e-11,
        )
        for n in (0, 1, 2, 5)
    },
    "sinc": (np.sinc, lambda x: mpmath.sincpi(x), np.concatenate([WIDE[:20]]), 1e-11),
}


@pytest.mark.parametrize("name", MPMATH)
def test_values_are_mpmaths(name: str) -> None:
    """Functions without a table, over several orders of magnitude."""
    function, reference, points, tolerance = MPMATH[name]
    with mpmath.workdps(150):
        want = np.array([float(reference(mpmath.mpf(float(x)))) for x in points])
    (got,) = run_all([(function, [points])])[0]
    _assert_near(got, want, tolerance, [points])
