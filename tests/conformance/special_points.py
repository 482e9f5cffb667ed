"""Points for the special functions: where they are swept, and where they have no value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def spread(low: float, high: float, count: int, *, signs: str = "+") -> list[float]:
    """Returns numbers spaced by a constant factor, all of them exact in float32 if in range."""
    sizes = np.geomspace(low, high, count)
    fits = (sizes > 1e-36) & (sizes < 1e37)
    sizes[fits] = sizes[fits].astype(np.float32)
    numbers = [float(x) for x in sizes]
    return [x for sign in signs for x in (numbers if sign == "+" else [-v for v in numbers])]


def steps(low: float, high: float, count: int) -> list[float]:
    """Returns numbers spaced by a constant difference, exact in float32."""
    return [float(x) for x in np.linspace(low, high, count).astype(np.float32)]


def singles(values: Iterable[float]) -> list[tuple[float, ...]]:
    return [(x,) for x in values]


def pairs(*values: Iterable[float]) -> list[tuple[float, ...]]:
    """Returns all combinations."""
    found: list[tuple[float, ...]] = [()]
    for several in values:
        found = [(*point, x) for point in found for x in several]
    return found


def _off_poles(values: Iterable[float]) -> list[float]:
    return [x for x in values if x > 0 or x != round(x)]


# The gamma family. Poles are at 0, -1, -2, …

LINE = _off_poles(
    [
        *spread(1e-300, 1e-3, 5, signs="+-"),
        *steps(0.011, 12, 14),
        *spread(15, 1e5, 7),
        *spread(1e7, 1e300, 5),
        *steps(-0.05, -30.3, 24),
        *(-9.5, -9.0078125, -99.9375, -1000.25, -1e5 + 0.375, -1e5 - 0.5),
    ]
)

TAILS = [*spread(1e-300, 1e-2, 3, signs="+-"), *steps(-26, 26, 17)]
BESSEL = [*spread(1e-300, 1e-3, 3, signs="+-"), *steps(-40.3, 41, 15), 1.99, 2.01, 29.9, 30.1]
DEEP = [0.0, *(-x for x in spread(0.01, 1e5, 18)), -4.1, -3.9, *steps(0.01, 10, 6), 1e-300]
PROBABILITIES = [*spread(1e-300, 1e-3, 6), *steps(0.01, 0.99, 9), 1 - 2.0**-12, 1 - 2.0**-23]
PARAMETERS = [1e-10, 1e-3, 0.3, 1.0, 2.5, 12.0, 99.0]
RATIOS = [1e-3, 0.3, 0.7, 1.0, 1.3, 3.0]


def _near_mode(parameters: Iterable[float]) -> list[tuple[float, ...]]:
    """Large parameters, and x some standard deviations away."""
    return [
        (float(np.float32(a)), float(np.float32(a) + d * np.sqrt(a)))
        for a in parameters
        for d in (-6.0, 0.0, 0.5, 5.0)
    ]


GAMMA_POINTS = [
    *((a, float(np.float32(max(a, 0.3) * r))) for a in PARAMETERS for r in RATIOS),
    *_near_mode([101.0, 1e4, 1e9, 1e14]),
]
GAMMA_BY_PARAMETER = [
    *((a, float(np.float32(a * r))) for a in (0.3, 2.5, 40.0) for r in (0.1, 0.9, 1.3, 3.0)),
    *((a, float(np.float32(a * r))) for a in (1e-3, 120.0) for r in (0.68, 1.35)),
    *_near_mode([150.0]),
]
BETA_POINTS = [
    *pairs([0.02, 3.0, 20.0], [0.3, 45.0], [1e-6, 0.125, 0.5]),
    *pairs([0.02, 3.0, 20.0], [0.3], [0.9375]),
    *((a, b, float(np.float32(a / (a + b)))) for a, b in ((300.0, 200.0), (1e3, 20.0))),
]
ZETA_POINTS = [
    *pairs([1.0625, 2.0, 20.0, 300.0], [1e-3, 0.3, 7.5, 40.0, 1e12]),
    *pairs([2.0, 3.0, 31.0], [-0.3, -3.5, -6.5, -9.25, -40.125, -999.75]),
]
POSITIVE = [*spread(1e-100, 1e-3, 5), 0.7, 1.0, 3.0, *spread(10, 1e100, 5)]
CLOSE = [(x, x * (1 + d)) for x in (0.3, 5.0) for d in (2.0**-20, -(2.0**-10), 0.375, -0.5, 0.0)]

OUTSIDE: Mapping[str, Sequence[tuple[float, ...]]] = {
    "special.beta": [(-0.5, 2.0), (2.0, -0.5), (np.nan, 1.0)],
    "special.betainc": [
        (-1.0, 2.0, 0.5),
        (2.0, -1.0, 0.5),
        (2.0, 2.0, -0.5),
        (2.0, 2.0, 1.5),
        (2e6, 2.0, 0.5),
        (2.0, 1e300, 0.5),
        (np.nan, 2.0, 0.5),
    ],
    "special.betaln": [(-0.5, 2.0), (2.0, -0.5), (np.nan, 1.0)],
    "special.digamma": [(0.0,), (-1.0,), (-1e6,), (np.nan,)],
    "special.entr": [(-1.0,), (-1e-300,), (np.nan,)],
    "special.erfcinv": [(-0.5,), (2.5,), (np.nan,)],
    "special.erfinv": [(-1.5,), (1.5,), (np.nan,)],
    "special.gamma": [(-1.0,), (-100.0,), (0.0,), (np.nan,)],
    "special.gammainc": [(-1.0, 2.0), (2.0, -1.0), (-1e300, 2.0), (np.nan, 1.0)],
    "special.gammaincc": [(-1.0, 2.0), (2.0, -1.0), (-1e300, 2.0), (np.nan, 1.0)],
    "special.gammaln": [(0.0,), (-1.0,), (-1e6,), (np.nan,)],
    "special.kl_div": [(-1.0, 2.0), (1.0, 0.0), (1.0, -1.0), (np.nan, 1.0)],
    "special.loggamma": [(0.0,), (-1.5,), (-1e6,), (np.nan,)],
    "special.logit": [(-0.5,), (1.5,), (np.nan,)],
    "special.ndtri": [(-0.5,), (1.5,), (np.nan,)],
    "special.polygamma": [(0.0,), (-1.0,), (-1e6,), (np.nan,)],
    "special.rel_entr": [(-1.0, 2.0), (1.0, 0.0), (1.0, -1.0), (np.nan, 1.0)],
    "special.xlog1py": [(2.0, -1.5), (np.nan, 1.0)],
    "special.xlogy": [(2.0, -0.5), (np.nan, 1.0)],
    "special.zeta": [(0.5, 2.0), (2.5, -0.5), (2.0, -3.0), (np.nan, 1.0)],
}
"""Points outside of each domain, poles and NaN among them."""
