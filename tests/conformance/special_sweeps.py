"""Which values and slopes of the special functions are compared with mpmath's, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from mpmath import mp, mpf

from conformance import special_values as v
from conformance.special_points import (
    BESSEL,
    BETA_POINTS,
    CLOSE,
    DEEP,
    GAMMA_BY_PARAMETER,
    GAMMA_POINTS,
    LINE,
    POSITIVE,
    PROBABILITIES,
    TAILS,
    ZETA_POINTS,
    pairs,
    singles,
    spread,
    steps,
)
from conformance.special_values import Number


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


@cache
def all_sweeps() -> tuple[Sweep, ...]:
    """Returns the sweeps of every special function."""
    gammas = [x for x in LINE if -150 < x < 150 and abs(x) > 1e-70]
    beta = pairs([1e-6, 0.4, 7.0, 30.0, 1e4], [1e-6, 0.3, 1.0, 8.5, 40.0, 1e6])
    return (
        Sweep(
            "special.gammaln", singles(LINE), v.log_abs_gamma, slope=lambda n, x: v.psi(n - 1, x)
        ),
        Sweep(
            "special.loggamma",
            singles(x for x in LINE if x > 0),
            mp.loggamma,
            slope=lambda n, x: v.psi(n - 1, x),
        ),
        Sweep("special.digamma", singles(LINE), partial(v.psi, 0), slope=v.psi),
        Sweep("special.gamma", singles(gammas), mp.gamma, slope=v.gamma_slope),
        *(
            Sweep(
                "special.polygamma",
                singles(x for x in LINE if abs(x) > 1e-2 and (x > -30 or n < 4)),
                partial(v.psi, n),
                slope=lambda k, x, n=n: v.psi(n + k, x),
                attrs={"n": n},
                name=str(n),
            )
            for n in (1, 2, 100)
        ),
        Sweep("special.zeta", ZETA_POINTS, v.hurwitz, 1, v.hurwitz_by_q),
        Sweep(
            "special.zeta",
            [p for p in ZETA_POINTS if p[1] > 0 and p[0] < 100],
            v.hurwitz,
            0,
            lambda n, s, q: mp.zeta(s, q, n),
        ),
        Sweep("special.betaln", beta, v.betaln, 0, v.betaln_by_a),
        Sweep("special.betaln", beta, v.betaln, 1, lambda n, a, b: v.betaln_by_a(n, b, a)),
        Sweep("special.beta", beta, lambda a, b: mp.exp(v.betaln(a, b)), 0, v.beta_by_a),
        Sweep("special.erf", singles(TAILS), mp.erf, slope=partial(v.erf_slope, 1)),
        Sweep("special.erfc", singles(TAILS), mp.erfc, slope=partial(v.erf_slope, -1)),
        Sweep("special.erfcx", singles([*TAILS, *spread(30, 1e30, 5)]), v.erfcx, 0, v.erfcx_slope),
        Sweep("special.ndtr", singles([*TAILS, -37.5]), v.ndtr, slope=v.ndtr_slope),
        Sweep(
            "special.log_ndtr",
            singles(DEEP),
            lambda x: mp.log(v.ndtr(x)),
            slope=v.log_ndtr_slope,
        ),
        Sweep("special.ndtri", singles(PROBABILITIES), v.ndtri, slope=v.ndtri_slope),
        Sweep(
            "special.erfinv",
            singles([x for x in PROBABILITIES if x > 1e-20] + [-0.75, -0.999755859375]),
            v.erfinv,
            slope=v.erfinv_slope,
        ),
        Sweep(
            "special.erfcinv",
            singles([*PROBABILITIES, 1.25, 1.984375, 2 - 2.0**-20]),
            v.erfcinv,
            slope=v.erfcinv_slope,
        ),
        *(
            Sweep(
                f"special.i{order}{'e' if scaled else ''}",
                singles([*BESSEL, *(spread(50, 1e9, 4, signs="+-") if scaled else [300, -600])]),
                partial(v.bessel, order, scaled),
                slope=partial(v.bessel_slope, order, scaled),
            )
            for order in (0, 1)
            for scaled in (False, True)
        ),
        *(
            Sweep(
                f"special.gammainc{'c' if upper else ''}",
                GAMMA_POINTS,
                partial(v.incomplete_gamma, upper),
                1,
                partial(v.gammainc_by_x, -1 if upper else 1),
            )
            for upper in (False, True)
        ),
        *(
            Sweep(
                f"special.gammainc{'c' if upper else ''}",
                GAMMA_BY_PARAMETER,
                partial(v.incomplete_gamma, upper),
                0,
            )
            for upper in (False, True)
        ),
        *(Sweep("special.betainc", BETA_POINTS, v.incomplete_beta, place) for place in (0, 1, 2)),
        Sweep("special.entr", singles(POSITIVE), lambda x: -x * mp.log(x), slope=v.entr_slope),
        Sweep(
            "special.logit",
            singles(PROBABILITIES),
            lambda x: mp.log(x / (1 - x)),
            slope=lambda n, x: v.log_slope(n, x) - (-1) ** n * v.log_slope(n, 1 - x),
        ),
        Sweep(
            "special.expit",
            singles(
                [*spread(1e-30, 1e-3, 4, signs="+-"), *steps(-700, 700, 15), *steps(-9, 9, 14)]
            ),
            lambda x: 1 / (1 + mp.exp(-x)),
            slope=v.logistic_slope,
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
            lambda n, x, y: x * v.log_slope(n, y),
        ),
        Sweep(
            "special.xlog1py",
            pairs([0.0, -3.0, 1e-20, 1e10], [-0.5, -1e-10, *POSITIVE]),
            lambda x, y: x * mp.log1p(y),
            1,
            lambda n, x, y: x * v.log_slope(n, 1 + y),
        ),
        *(
            Sweep(
                f"special.{op}",
                [*pairs(POSITIVE, [1e-20, 0.7, 1e9]), *CLOSE],
                value,
                place,
                partial(v.rel_entr_slope, extra, place),
            )
            for op, value, extra in (("rel_entr", v.rel_entr, 0), ("kl_div", v.kl_div, 1))
            for place in (0, 1)
        ),
    )
