"""Where the special functions are swept, and what mpmath says they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from mpmath import mp, mpf

Number = Any
"""One of mpmath's."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """A function along one of its operands.

    Attributes:
        op: The op's name.
        points: One tuple of operands for each point.
        value: The function of mpmath's numbers.
        place: The operand by which it is differentiated.
        slope: The derivative of an order given first, if that is known in
            closed form; else mpmath takes it with differences in many digits.
        attrs: The op's attributes.
        name: Tells the sweeps of one op apart.
    """

    op: str
    points: Sequence[tuple[float, ...]]
    value: Callable[..., Number]
    place: int = 0
    slope: Callable[..., Number] | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    @property
    def id(self) -> str:
        """The sweep's name in test reports."""
        return "-".join(filter(None, (self.op, self.name, str(self.place))))

    def derivative(self, order: int, point: tuple[float, ...]) -> Number:
        """Returns a derivative of the value at a point."""
        operands = [mpf(x) for x in point]
        if order == 0:
            return self.value(*operands)
        if self.slope is not None:
            return self.slope(order, *operands)

        def along(x: Number) -> Number:
            moved = [*operands]
            moved[self.place] = x
            return self.value(*moved)

        return mp.diff(along, operands[self.place], order, relative=True)


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


def _psi(n: int, x: Number) -> Number:
    """ψ⁽ⁿ⁾; mpmath's is slow far to the left."""
    if x > -40:
        return mp.psi(n, x)
    moved = mp.diff(lambda t: mp.pi * mp.cot(mp.pi * t), x, n) if n else mp.pi * mp.cot(mp.pi * x)
    return (-1) ** n * mp.psi(n, 1 - x) - moved


def _log_abs_gamma(x: Number) -> Number:
    return mp.re(mp.loggamma(x))


def _hurwitz(s: Number, q: Number) -> Number:
    """ζ(s, q), for q < 0 by its own terms."""
    if q > 0:
        return mp.zeta(s, q)
    count = int(mp.ceil(-q))
    return mp.fsum((q + k) ** -s for k in range(count)) + mp.zeta(s, q + count)


def _hurwitz_by_q(order: int, s: Number, q: Number) -> Number:
    return (-1) ** order * mp.rf(s, order) * _hurwitz(s + order, q)


def _hermite(n: int, x: Number) -> Number:
    """The n-th derivative of exp(-x²/2), over it, with its sign."""
    return (-1) ** n * mp.mpf(2) ** (-mp.mpf(n) / 2) * mp.hermite(n, x / mp.sqrt(2))


def _ndtr(x: Number) -> Number:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def _mills(x: Number) -> Number:
    """φ/Φ."""
    return mp.npdf(x) / _ndtr(x)


def _log_ndtr_slope(order: int, x: Number) -> Number:
    with mp.extradps(60):
        r = _mills(x)
        if order == 1:
            return r
        second = -r * (x + r)
        if order == 2:
            return second
        third = -second * (x + r) - r * (1 + second)
        if order == 3:
            return third
        return -third * (x + r) - 2 * second * (1 + second) - r * third


def _erfcx(x: Number) -> Number:
    with mp.extradps(40):
        return mp.exp(x * x) * mp.erfc(x)


def _erfcx_slope(order: int, x: Number) -> Number:
    """F' = 2x f - 2/√π, so f⁽ⁿ⁺¹⁾ = 2x f⁽ⁿ⁾ + 2n f⁽ⁿ⁻¹⁾."""
    with mp.extradps(80 + 5 * int(mp.log10(1 + abs(x)))):
        previous, current = _erfcx(x), 2 * x * _erfcx(x) - 2 / mp.sqrt(mp.pi)
        for n in range(1, order):
            previous, current = current, 2 * x * current + 2 * n * previous
        return current


def _inverse_slope(order: int, y: Number, inverse: Number, tail: Number) -> Number:
    """Derivatives of y(p) with y' = 1/φ(y): y'' = y y'^2, y''' = (1 + 2y²) y'^3, …."""
    del inverse
    first = mp.sqrt(2 * mp.pi) * mp.exp(y * y / 2)
    factors = {1: 1, 2: y, 3: 1 + 2 * y**2, 4: 7 * y + 6 * y**3}
    return factors[order] * first**order * tail


def _ndtri(p: Number) -> Number:
    """Φ⁻¹ by Newton's steps on log Φ, or on Φ in the upper half."""
    if p > 0.5:
        return -_ndtri(1 - p)
    with mp.extradps(20):
        y = -mp.sqrt(-2 * mp.log(p)) if p < mpf("0.02") else mpf(0)
        for _ in range(60):
            step = (mp.log(_ndtr(y)) - mp.log(p)) / _mills(y)
            y -= step
            if abs(step) < mpf(10) ** (-mp.dps + 5) * (1 + abs(y)):
                break
        return y


def _ndtri_slope(order: int, p: Number) -> Number:
    return _inverse_slope(order, _ndtri(p), p, 1)


def _erfinv(x: Number) -> Number:
    return mp.sign(x) * _ndtri((1 + abs(x)) / 2) / mp.sqrt(2)


def _erfinv_slope(order: int, x: Number) -> Number:
    y = _erfinv(x) * mp.sqrt(2)
    return _inverse_slope(order, y, x, mpf(2) ** -order / mp.sqrt(2))


def _logistic_slope(order: int, x: Number) -> Number:
    s, rest = 1 / (1 + mp.exp(-x)), 1 / (1 + mp.exp(x))
    factors = {
        1: 1,
        2: rest - s,
        3: 1 - 6 * s * rest,
        4: (rest - s) * (1 - 12 * s * rest),
    }
    return s * rest * factors[order]


def _erfcinv(x: Number) -> Number:
    return -_ndtri(x / 2) / mp.sqrt(2)


def _erfcinv_slope(order: int, x: Number) -> Number:
    y = _ndtri(x / 2)
    return -_inverse_slope(order, y, x, mpf(2) ** -order / mp.sqrt(2))


def _bessel(order: int, scaled: bool, x: Number) -> Number:
    with mp.extradps(30):
        value = mp.besseli(order, x)
        return value * mp.exp(-abs(x)) if scaled else value


def _bessel_slope(order: int, scaled: bool, n: int, x: Number) -> Number:
    """By I_v⁽ⁿ⁾ = 2⁻ⁿ Σ C(n, k) I_(v-n+2k), DLMF 10.29.5, and Leibniz with |x|' = ±1."""
    with mp.extradps(60 + 4 * int(mp.log10(1 + abs(x)))):
        around = {k: mp.besseli(abs(k), x) for k in range(order - n, order + n + 1)}

        def slope(n: int) -> Number:
            terms = (mp.binomial(n, k) * around[order - n + 2 * k] for k in range(n + 1))
            return mp.fsum(terms) / 2**n

        if not scaled:
            return slope(n)
        turned = (mp.binomial(n, k) * slope(k) * (-mp.sign(x)) ** (n - k) for k in range(n + 1))
        return mp.exp(-abs(x)) * mp.fsum(turned)


# The incomplete functions: for large parameters by quadrature of their densities.


def _gamma_density(a: Number, x: Number) -> Number:
    return mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a))


def _incomplete_gamma(upper: bool, a: Number, x: Number) -> Number:
    if a < 200:
        with mp.extradps(20):
            if upper:
                return mp.gammainc(a, x, mp.inf, regularized=True)
            power = mp.exp(a * mp.log(x) - x - mp.loggamma(a + 1))
            return power * mp.hyp1f1(1, a + 1, x)
    # Temme's integral would be the code's own formula; the tail is integrated instead.
    with mp.extradps(int(mp.log10(a)) + 10):
        width = mp.sqrt(a)
        tail_above = x > a
        reach = 16 * width + 16
        marks = [x + (reach if tail_above else -reach) * k / 6 for k in range(7)]
        marks = [mp.mpf(t) for t in marks if t > 0]
        integral = abs(mp.quad(partial(_gamma_density, a), marks))
        return integral if tail_above == upper else 1 - integral


def _gammainc_by_x(sign: int, order: int, a: Number, x: Number) -> Number:
    with mp.extradps(int(mp.log10(a + 1)) * 2 + 10):
        u = (a - 1) / x - 1
        v, w = -(a - 1) / x**2, 2 * (a - 1) / x**3
        factors = {1: 1, 2: u, 3: u * u + v, 4: u**3 + 3 * u * v + w}
        return sign * factors[order] * _gamma_density(a, x)


def _incomplete_beta(a: Number, b: Number, x: Number) -> Number:
    with mp.extradps(20):
        return mp.betainc(a, b, 0, x, regularized=True)


def _entr_slope(order: int, x: Number) -> Number:
    if order == 1:
        return -mp.log(x) - 1
    return (-1) ** (order - 1) * mp.factorial(order - 2) / x ** (order - 1)


def _log_slope(order: int, x: Number) -> Number:
    return (-1) ** (order - 1) * mp.factorial(order - 1) / x**order


def _erf_slope(sign: int, order: int, x: Number) -> Number:
    density = 2 / mp.sqrt(mp.pi) * mp.exp(-x * x)
    return sign * density * (-1) ** (order - 1) * mp.hermite(order - 1, x)


def _ndtr_slope(order: int, x: Number) -> Number:
    return mp.npdf(x) * _hermite(order - 1, x)


def _betaln(a: Number, b: Number) -> Number:
    with mp.extradps(30 + int(max(0, mp.log10(a), mp.log10(b)) + max(0, -mp.log10(a)))):
        return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def _betaln_by_a(order: int, a: Number, b: Number) -> Number:
    with mp.extradps(30 + 2 * int(abs(mp.log10(a)) + abs(mp.log10(b)))):
        return mp.psi(order - 1, a) - mp.psi(order - 1, a + b)


def _beta_by_a(order: int, a: Number, b: Number) -> Number:
    value = mp.exp(_betaln(a, b))
    first, second, third, fourth = (_betaln_by_a(k, a, b) for k in (1, 2, 3, 4))
    factors = {
        1: first,
        2: first**2 + second,
        3: first**3 + 3 * first * second + third,
        4: first**4 + 6 * first**2 * second + 4 * first * third + 3 * second**2 + fourth,
    }
    return value * factors[order]


def _gamma_slope(order: int, x: Number) -> Number:
    p = [_psi(k, x) for k in range(4)]
    factors = {
        1: p[0],
        2: p[0] ** 2 + p[1],
        3: p[0] ** 3 + 3 * p[0] * p[1] + p[2],
        4: p[0] ** 4 + 6 * p[0] ** 2 * p[1] + 4 * p[0] * p[2] + 3 * p[1] ** 2 + p[3],
    }
    return mp.gamma(x) * factors[order]


def _rel_entr(x: Number, y: Number) -> Number:
    return x * mp.log(x / y)


def _kl_div(x: Number, y: Number) -> Number:
    return x * mp.log(x / y) - x + y


def _rel_entr_slope(extra: int, place: int, order: int, x: Number, y: Number) -> Number:
    if place == 0:
        return mp.log(x / y) + 1 - extra if order == 1 else _log_slope(order - 1, x)
    return -x * _log_slope(order, y) + (extra if order == 1 else 0)


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


@cache
def all_sweeps() -> tuple[Sweep, ...]:
    """Returns the sweeps of every special function."""
    gammas = [x for x in LINE if -150 < x < 150 and abs(x) > 1e-70]
    beta = pairs([1e-6, 0.4, 7.0, 30.0, 1e4], [1e-6, 0.3, 1.0, 8.5, 40.0, 1e6])
    return (
        Sweep("special.gammaln", singles(LINE), _log_abs_gamma, slope=lambda n, x: _psi(n - 1, x)),
        Sweep(
            "special.loggamma",
            singles(x for x in LINE if x > 0),
            mp.loggamma,
            slope=lambda n, x: _psi(n - 1, x),
        ),
        Sweep("special.digamma", singles(LINE), partial(_psi, 0), slope=_psi),
        Sweep("special.gamma", singles(gammas), mp.gamma, slope=_gamma_slope),
        *(
            Sweep(
                "special.polygamma",
                singles(x for x in LINE if abs(x) > 1e-2 and (x > -30 or n < 4)),
                partial(_psi, n),
                slope=lambda k, x, n=n: _psi(n + k, x),
                attrs={"n": n},
                name=str(n),
            )
            for n in (1, 2, 100)
        ),
        Sweep("special.zeta", ZETA_POINTS, _hurwitz, 1, _hurwitz_by_q),
        Sweep(
            "special.zeta",
            [p for p in ZETA_POINTS if p[1] > 0 and p[0] < 100],
            _hurwitz,
            0,
            lambda n, s, q: mp.zeta(s, q, n),
        ),
        Sweep("special.betaln", beta, _betaln, 0, _betaln_by_a),
        Sweep("special.betaln", beta, _betaln, 1, lambda n, a, b: _betaln_by_a(n, b, a)),
        Sweep("special.beta", beta, lambda a, b: mp.exp(_betaln(a, b)), 0, _beta_by_a),
        Sweep("special.erf", singles(TAILS), mp.erf, slope=partial(_erf_slope, 1)),
        Sweep("special.erfc", singles(TAILS), mp.erfc, slope=partial(_erf_slope, -1)),
        Sweep("special.erfcx", singles([*TAILS, *spread(30, 1e30, 5)]), _erfcx, 0, _erfcx_slope),
        Sweep("special.ndtr", singles([*TAILS, -37.5]), _ndtr, slope=_ndtr_slope),
        Sweep(
            "special.log_ndtr",
            singles(DEEP),
            lambda x: mp.log(_ndtr(x)),
            slope=_log_ndtr_slope,
        ),
        Sweep("special.ndtri", singles(PROBABILITIES), _ndtri, slope=_ndtri_slope),
        Sweep(
            "special.erfinv",
            singles([x for x in PROBABILITIES if x > 1e-20] + [-0.75, -0.999755859375]),
            _erfinv,
            slope=_erfinv_slope,
        ),
        Sweep(
            "special.erfcinv",
            singles([*PROBABILITIES, 1.25, 1.984375, 2 - 2.0**-20]),
            _erfcinv,
            slope=_erfcinv_slope,
        ),
        *(
            Sweep(
                f"special.i{order}{'e' if scaled else ''}",
                singles([*BESSEL, *(spread(50, 1e9, 4, signs="+-") if scaled else [300, -600])]),
                partial(_bessel, order, scaled),
                slope=partial(_bessel_slope, order, scaled),
            )
            for order in (0, 1)
            for scaled in (False, True)
        ),
        *(
            Sweep(
                f"special.gammainc{'c' if upper else ''}",
                GAMMA_POINTS,
                partial(_incomplete_gamma, upper),
                1,
                partial(_gammainc_by_x, -1 if upper else 1),
            )
            for upper in (False, True)
        ),
        *(
            Sweep(
                f"special.gammainc{'c' if upper else ''}",
                GAMMA_BY_PARAMETER,
                partial(_incomplete_gamma, upper),
                0,
            )
            for upper in (False, True)
        ),
        *(Sweep("special.betainc", BETA_POINTS, _incomplete_beta, place) for place in (0, 1, 2)),
        Sweep("special.entr", singles(POSITIVE), lambda x: -x * mp.log(x), slope=_entr_slope),
        Sweep(
            "special.logit",
            singles(PROBABILITIES),
            lambda x: mp.log(x / (1 - x)),
            slope=lambda n, x: _log_slope(n, x) - (-1) ** n * _log_slope(n, 1 - x),
        ),
        Sweep(
            "special.expit",
            singles(
                [*spread(1e-30, 1e-3, 4, signs="+-"), *steps(-700, 700, 15), *steps(-9, 9, 14)]
            ),
            lambda x: 1 / (1 + mp.exp(-x)),
            slope=_logistic_slope,
        ),
        Sweep(
            "special.sinc",
            # Far out a rounding of x is a turn of the sine.
            singles([*spread(1e-30, 1e-3, 4, signs="+-"), *steps(-6.3, 9.7, 24), 40.25, 1000.75]),
            lambda x: mp.sinpi(x) / (mp.pi * x),
        ),
        Sweep(
            "special.xlogy",
            # 0 times 1/y³ is NaN where that is past float32's range.
            pairs([-3.0, 1e-20, 1e10], POSITIVE) + pairs([0.0], [y for y in POSITIVE if y > 1e-12]),
            lambda x, y: x * mp.log(y),
            1,
            lambda n, x, y: x * _log_slope(n, y),
        ),
        Sweep(
            "special.xlog1py",
            pairs([0.0, -3.0, 1e-20, 1e10], [-0.5, -1e-10, *POSITIVE]),
            lambda x, y: x * mp.log1p(y),
            1,
            lambda n, x, y: x * _log_slope(n, 1 + y),
        ),
        *(
            Sweep(
                f"special.{op}",
                [*pairs(POSITIVE, [1e-20, 0.7, 1e9]), *CLOSE],
                value,
                place,
                partial(_rel_entr_slope, extra, place),
            )
            for op, value, extra in (("rel_entr", _rel_entr, 0), ("kl_div", _kl_div, 1))
            for place in (0, 1)
        ),
    )


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
