"""What mpmath says of the special functions and their derivatives."""

from __future__ import annotations

from functools import partial
from typing import Any

from mpmath import mp, mpf

Number = Any
"""One of mpmath's."""


def psi(n: int, x: Number) -> Number:
    """ψ⁽ⁿ⁾; mpmath's is slow far to the left."""
    if x > -40:
        return mp.psi(n, x)
    moved = mp.diff(lambda t: mp.pi * mp.cot(mp.pi * t), x, n) if n else mp.pi * mp.cot(mp.pi * x)
    return (-1) ** n * mp.psi(n, 1 - x) - moved


def log_abs_gamma(x: Number) -> Number:
    return mp.re(mp.loggamma(x))


def hurwitz(s: Number, q: Number) -> Number:
    """ζ(s, q), for q < 0 by its own terms."""
    if q > 0:
        return mp.zeta(s, q)
    count = int(mp.ceil(-q))
    return mp.fsum((q + k) ** -s for k in range(count)) + mp.zeta(s, q + count)


def hurwitz_by_q(order: int, s: Number, q: Number) -> Number:
    return (-1) ** order * mp.rf(s, order) * hurwitz(s + order, q)


def hermite(n: int, x: Number) -> Number:
    """The n-th derivative of exp(-x²/2), over it, with its sign."""
    return (-1) ** n * mp.mpf(2) ** (-mp.mpf(n) / 2) * mp.hermite(n, x / mp.sqrt(2))


def ndtr(x: Number) -> Number:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def mills(x: Number) -> Number:
    """φ/Φ."""
    return mp.npdf(x) / ndtr(x)


def log_ndtr_slope(order: int, x: Number) -> Number:
    with mp.extradps(60):
        r = mills(x)
        if order == 1:
            return r
        second = -r * (x + r)
        if order == 2:
            return second
        third = -second * (x + r) - r * (1 + second)
        if order == 3:
            return third
        return -third * (x + r) - 2 * second * (1 + second) - r * third


def erfcx(x: Number) -> Number:
    with mp.extradps(40):
        return mp.exp(x * x) * mp.erfc(x)


def erfcx_slope(order: int, x: Number) -> Number:
    """F' = 2x f - 2/√π, so f⁽ⁿ⁺¹⁾ = 2x f⁽ⁿ⁾ + 2n f⁽ⁿ⁻¹⁾."""
    with mp.extradps(80 + 5 * int(mp.log10(1 + abs(x)))):
        previous, current = erfcx(x), 2 * x * erfcx(x) - 2 / mp.sqrt(mp.pi)
        for n in range(1, order):
            previous, current = current, 2 * x * current + 2 * n * previous
        return current


def inverse_slope(order: int, y: Number, tail: Number) -> Number:
    """Derivatives of y(p) with y' = 1/φ(y): y'' = y y'^2, y''' = (1 + 2y²) y'^3, …."""
    first = mp.sqrt(2 * mp.pi) * mp.exp(y * y / 2)
    factors = {1: 1, 2: y, 3: 1 + 2 * y**2, 4: 7 * y + 6 * y**3}
    return factors[order] * first**order * tail


def ndtri(p: Number) -> Number:
    """Φ⁻¹ by Newton's steps on log Φ, or on Φ in the upper half."""
    if p > 0.5:
        return -ndtri(1 - p)
    with mp.extradps(20):
        y = -mp.sqrt(-2 * mp.log(p)) if p < mpf("0.02") else mpf(0)
        for _ in range(60):
            step = (mp.log(ndtr(y)) - mp.log(p)) / mills(y)
            y -= step
            if abs(step) < mpf(10) ** (-mp.dps + 5) * (1 + abs(y)):
                break
        return y


def ndtri_slope(order: int, p: Number) -> Number:
    return inverse_slope(order, ndtri(p), 1)


def erfinv(x: Number) -> Number:
    return mp.sign(x) * ndtri((1 + abs(x)) / 2) / mp.sqrt(2)


def erfinv_slope(order: int, x: Number) -> Number:
    y = erfinv(x) * mp.sqrt(2)
    return inverse_slope(order, y, mpf(2) ** -order / mp.sqrt(2))


def logistic_slope(order: int, x: Number) -> Number:
    s, rest = 1 / (1 + mp.exp(-x)), 1 / (1 + mp.exp(x))
    factors = {
        1: 1,
        2: rest - s,
        3: 1 - 6 * s * rest,
        4: (rest - s) * (1 - 12 * s * rest),
    }
    return s * rest * factors[order]


def erfcinv(x: Number) -> Number:
    return -ndtri(x / 2) / mp.sqrt(2)


def erfcinv_slope(order: int, x: Number) -> Number:
    y = ndtri(x / 2)
    return -inverse_slope(order, y, mpf(2) ** -order / mp.sqrt(2))


def bessel(order: int, scaled: bool, x: Number) -> Number:
    with mp.extradps(30):
        value = mp.besseli(order, x)
        return value * mp.exp(-abs(x)) if scaled else value


def bessel_slope(order: int, scaled: bool, n: int, x: Number) -> Number:
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


def gamma_density(a: Number, x: Number) -> Number:
    return mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a))


def incomplete_gamma(upper: bool, a: Number, x: Number) -> Number:
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
        integral = abs(mp.quad(partial(gamma_density, a), marks))
        return integral if tail_above == upper else 1 - integral


def gammainc_by_x(sign: int, order: int, a: Number, x: Number) -> Number:
    with mp.extradps(int(mp.log10(a + 1)) * 2 + 10):
        u = (a - 1) / x - 1
        v, w = -(a - 1) / x**2, 2 * (a - 1) / x**3
        factors = {1: 1, 2: u, 3: u * u + v, 4: u**3 + 3 * u * v + w}
        return sign * factors[order] * gamma_density(a, x)


def incomplete_beta(a: Number, b: Number, x: Number) -> Number:
    with mp.extradps(20):
        return mp.betainc(a, b, 0, x, regularized=True)


def entr_slope(order: int, x: Number) -> Number:
    if order == 1:
        return -mp.log(x) - 1
    return (-1) ** (order - 1) * mp.factorial(order - 2) / x ** (order - 1)


def log_slope(order: int, x: Number) -> Number:
    return (-1) ** (order - 1) * mp.factorial(order - 1) / x**order


def erf_slope(sign: int, order: int, x: Number) -> Number:
    density = 2 / mp.sqrt(mp.pi) * mp.exp(-x * x)
    return sign * density * (-1) ** (order - 1) * mp.hermite(order - 1, x)


def ndtr_slope(order: int, x: Number) -> Number:
    return mp.npdf(x) * hermite(order - 1, x)


def betaln(a: Number, b: Number) -> Number:
    with mp.extradps(30 + int(max(0, mp.log10(a), mp.log10(b)) + max(0, -mp.log10(a)))):
        return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def betaln_by_a(order: int, a: Number, b: Number) -> Number:
    with mp.extradps(30 + 2 * int(abs(mp.log10(a)) + abs(mp.log10(b)))):
        return mp.psi(order - 1, a) - mp.psi(order - 1, a + b)


def beta_by_a(order: int, a: Number, b: Number) -> Number:
    value = mp.exp(betaln(a, b))
    first, second, third, fourth = (betaln_by_a(k, a, b) for k in (1, 2, 3, 4))
    factors = {
        1: first,
        2: first**2 + second,
        3: first**3 + 3 * first * second + third,
        4: first**4 + 6 * first**2 * second + 4 * first * third + 3 * second**2 + fourth,
    }
    return value * factors[order]


def gamma_slope(order: int, x: Number) -> Number:
    p = [psi(k, x) for k in range(4)]
    factors = {
        1: p[0],
        2: p[0] ** 2 + p[1],
        3: p[0] ** 3 + 3 * p[0] * p[1] + p[2],
        4: p[0] ** 4 + 6 * p[0] ** 2 * p[1] + 4 * p[0] * p[2] + 3 * p[1] ** 2 + p[3],
    }
    return mp.gamma(x) * factors[order]


def rel_entr(x: Number, y: Number) -> Number:
    return x * mp.log(x / y)


def kl_div(x: Number, y: Number) -> Number:
    return x * mp.log(x / y) - x + y


def rel_entr_slope(extra: int, place: int, order: int, x: Number, y: Number) -> Number:
    if place == 0:
        return mp.log(x / y) + 1 - extra if order == 1 else log_slope(order - 1, x)
    return -x * log_slope(order, y) + (extra if order == 1 else 0)
