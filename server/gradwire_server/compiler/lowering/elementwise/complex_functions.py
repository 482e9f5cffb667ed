"""Elementary functions of complex numbers, at infinities, NaN and signed zeros as in C99 and NumPy.

Where XLA's value is right except for the sign of a zero, which tells the side of a
branch cut, that sign is corrected. The derivatives are written so that they
choose the same side, and neither overflow nor cancel.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.compiler.lowering.elementwise.division import reciprocal
from gradwire_server.compiler.lowering.elementwise.planar import direction
from gradwire_server.compiler.lowering.elementwise.slopes import (
    Unary,
    differentiated_as,
    with_slope,
)

Parts = tuple[jax.Array, jax.Array]


def _parts(z: jax.Array) -> Parts:
    return jnp.real(z), jnp.imag(z)


def _turned(z: jax.Array) -> jax.Array:
    """The product iz, by its parts: a product with i would lose the sign of a zero."""
    return lax.complex(-jnp.imag(z), jnp.real(z))


def _turned_back(z: jax.Array) -> jax.Array:
    """-i z."""
    return lax.complex(jnp.imag(z), -jnp.real(z))


def _plus(number: float, z: jax.Array) -> jax.Array:
    """A real number + z, which leaves the imaginary part, and the sign of its zero."""
    return lax.complex(number + jnp.real(z), jnp.imag(z))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """The product of real numbers, 0 where a factor is 0 even if the other is not finite."""
    minus = [jnp.signbit(x) & ~jnp.isnan(x) for x in (a, b)]
    zero = jnp.where(minus[0] == minus[1], 0.0, -0.0).astype(a.dtype)
    return jnp.where((a == 0) | (b == 0), zero, a * b)


def _scaled_exp(x: jax.Array) -> Parts:
    """exp(x) as a product of two, for exp(x) * cos(y) may be a number where exp(x) is not."""
    bound = math.floor(math.log(float(np.finfo(x.dtype).max)))
    large = x > bound
    factor = jnp.where(large, math.exp(bound), 1).astype(x.dtype)
    return jnp.exp(jnp.where(large, x - bound, x)), factor


# exp and related functions.


def _exp_value(z: jax.Array) -> jax.Array:
    x, y = _parts(z)
    size, factor = _scaled_exp(x)
    real = _product(size, jnp.cos(y)) * factor
    imag = _product(size, jnp.sin(y)) * factor
    real = jnp.where((x == jnp.inf) & ~jnp.isfinite(y), x, real)
    return lax.complex(real, jnp.where(y == 0, y, imag))


def _exp_slope(z: jax.Array) -> jax.Array:
    return exp(z)


exp: Unary = with_slope(differentiated_as(_exp_value, jnp.exp), _exp_slope)


def _expm1_value(z: jax.Array) -> jax.Array:
    x, y = _parts(z)
    power = _exp_value(z)
    half = jnp.sin(y / 2)
    near = jnp.expm1(x) * jnp.cos(y) - 2 * half * half
    # exp(z) - 1 does not cancel far from 1, and near -1 it is known there what y does.
    real = jnp.where(jnp.abs(x) < 10, near, jnp.real(power) - 1)
    return lax.complex(real, jnp.imag(power))


expm1: Unary = with_slope(differentiated_as(_expm1_value, jnp.expm1), exp)


def exp2(z: jax.Array) -> jax.Array:
    """2**z."""
    x, y = _parts(z)
    return exp(lax.complex(x * math.log(2), y * math.log(2)))


# Logarithms.


def _log_value(z: jax.Array) -> jax.Array:
    x, y = _parts(z)
    real, imag = _parts(jnp.log(z))
    return lax.complex(jnp.where(jnp.isinf(x) | jnp.isinf(y), jnp.inf, real), imag)


def _log1p_value(z: jax.Array) -> jax.Array:
    x, y = _parts(z)
    real, imag = _parts(jnp.log1p(z))
    return lax.complex(jnp.where(jnp.isinf(x) | jnp.isinf(y), jnp.inf, real), imag)


log: Unary = with_slope(_log_value, reciprocal)
log1p: Unary = with_slope(_log1p_value, lambda z: reciprocal(_plus(1, z)))


def _log_to(base: float) -> Unary:
    def logarithm(z: jax.Array) -> jax.Array:
        real, imag = _parts(log(z))
        return lax.complex(real / math.log(base), imag / math.log(base))

    return logarithm


log2, log10 = _log_to(2), _log_to(10)


# Roots.


def _sqrt_value(z: jax.Array) -> jax.Array:
    x, y = _parts(z)
    real, imag = map(jnp.abs, _parts(jnp.sqrt(z)))
    real = jnp.where(jnp.isinf(y) | (x == jnp.inf), jnp.inf, real)
    imag = jnp.where(jnp.isinf(y) | (x == -jnp.inf), jnp.inf, imag)
    return lax.complex(real, jnp.copysign(imag, y))


def _rsqrt_value(z: jax.Array) -> jax.Array:
    real, imag = map(jnp.abs, _parts(lax.rsqrt(z)))
    return lax.complex(real, jnp.copysign(imag, -jnp.imag(z)))


sqrt: Unary = with_slope(differentiated_as(_sqrt_value, jnp.sqrt), lambda z: 0.5 * rsqrt(z))
rsqrt: Unary = with_slope(
    differentiated_as(_rsqrt_value, lax.rsqrt), lambda z: -0.5 * rsqrt(z) * reciprocal(z)
)


# Hyperbolic functions; sin z = -i sinh iz, cos z = cosh iz, tan z = -i tanh iz.


def _sinh_cosh(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """sinh(x), cosh(x), each to be multiplied by the third."""
    size, factor = _scaled_exp(jnp.abs(x))
    far = jnp.abs(x) > 20  # here 1 / size is below size's last digit
    near = jnp.where(far, 0, x)
    sinh = jnp.where(far, jnp.copysign(size / 2, x), jnp.sinh(near))
    return sinh, jnp.where(far, size / 2, jnp.cosh(near)), factor


def _sinh_value(z: jax.Array) -> jax.Array:
    x, y = _parts(z)
    sinh, cosh, factor = _sinh_cosh(x)
    real = _product(sinh, jnp.cos(y)) * factor
    imag = _product(cosh, jnp.sin(y)) * factor
    return lax.complex(jnp.where(jnp.isinf(x) & ~jnp.isfinite(y), x, real), imag)


def _cosh_value(z: jax.Array) -> jax.Array:
    x, y = _parts(z)
    sinh, cosh, factor = _sinh_cosh(x)
    real = _product(cosh, jnp.cos(y)) * factor
    imag = _product(sinh, jnp.sin(y)) * factor
    return lax.complex(jnp.where(jnp.isinf(x) & ~jnp.isfinite(y), jnp.inf, real), imag)


def _tanh_value(z: jax.Array) -> jax.Array:
    x, y = _parts(z)
    far = jnp.isinf(x)
    real, imag = _parts(jnp.tanh(jnp.where(far, lax.complex(jnp.zeros_like(x), y), z)))
    real = jnp.where(far, jnp.copysign(1, x), real)
    limit = jnp.copysign(0, jnp.where(jnp.isfinite(y), jnp.sin(2 * y), y))
    imag = jnp.where(far, limit, imag)
    return lax.complex(jnp.where(x == 0, x, real), jnp.where(y == 0, y, imag))


def _sech_squared(z: jax.Array) -> jax.Array:
    e = jnp.exp(-2 * jnp.where(jnp.real(z) < 0, -z, z))
    return 4 * e / ((1 + e) * (1 + e))


sinh: Unary = with_slope(differentiated_as(_sinh_value, jnp.sinh), lambda z: cosh(z))
cosh: Unary = with_slope(differentiated_as(_cosh_value, jnp.cosh), lambda z: sinh(z))
tanh: Unary = with_slope(differentiated_as(_tanh_value, jnp.tanh), lambda z: _tanh_slope(z))
_tanh_slope: Unary = with_slope(_sech_squared, lambda z: -2 * tanh(z) * _tanh_slope(z))


def sin(z: jax.Array) -> jax.Array:
    """Sine."""
    return _turned_back(sinh(_turned(z)))


def cos(z: jax.Array) -> jax.Array:
    """Cosine."""
    return cosh(_turned(z))


def tan(z: jax.Array) -> jax.Array:
    """Tangent."""
    return _turned_back(tanh(_turned(z)))


# Inverse functions. Their slopes are products of roots and reciprocals of 1 ± z
# or 1 ± iz, not of 1 ± z²: those overflow, and lose the side of the cut.


def _signed(value: Unary, real: float, imag: float) -> Unary:
    """Gives both parts of the value the signs of z's, times these; 0 leaves a part as it is."""

    def signed(z: jax.Array) -> jax.Array:
        parts = zip(_parts(value(z)), _parts(z), (real, imag), strict=True)
        return lax.complex(
            *(jnp.copysign(jnp.abs(w), sign * x) if sign else w for w, x, sign in parts)
        )

    return signed


def _inverse_root(z: jax.Array) -> jax.Array:
    """1 / (sqrt(1 - z) sqrt(1 + z))."""
    return rsqrt(_plus(1, -z)) * rsqrt(_plus(1, z))


def _asin_value(z: jax.Array) -> jax.Array:
    x = jnp.real(z)
    real, imag = _parts(_signed(jnp.asin, 1, 1)(z))
    return lax.complex(jnp.where(x == 0, x, real), imag)  # for an imaginary part NaN too


def _acos_value(z: jax.Array) -> jax.Array:
    real, imag = _parts(_signed(jnp.acos, 0, -1)(z))
    return lax.complex(jnp.where(jnp.real(z) == 0, math.pi / 2, real), imag)


def _acosh_formula(z: jax.Array) -> jax.Array:
    # JAX's acosh has the derivative of another sheet where Re z < 0.
    return 2 * jnp.log(jnp.sqrt((z - 1) / 2) + jnp.sqrt((z + 1) / 2))


def _acosh_value(z: jax.Array) -> jax.Array:
    x, y = _parts(z)
    real, imag = _parts(_signed(jnp.acosh, 0, 1)(z))
    return lax.complex(real, jnp.where((x == 0) & jnp.isnan(y), math.pi / 2, imag))


def _atanh_value(z: jax.Array) -> jax.Array:
    x, y = _parts(z)
    real, imag = _parts(_signed(jnp.atanh, 1, 1)(z))
    unknown = jnp.where(jnp.isinf(x), jnp.copysign(0, x), jnp.where(x == 0, x, jnp.nan))
    real = jnp.where(jnp.isnan(y), unknown, real)
    unclear = jnp.isnan(y) | (jnp.isnan(x) & ~jnp.isinf(y))
    return lax.complex(real, jnp.where(unclear, jnp.nan, imag))


asin: Unary = with_slope(differentiated_as(_asin_value, jnp.asin), lambda z: _asin_slope(z))
acos: Unary = with_slope(differentiated_as(_acos_value, jnp.acos), lambda z: -_asin_slope(z))
_asin_slope: Unary = with_slope(
    _inverse_root, lambda z: (z * _asin_slope(z)) * (_asin_slope(z) * _asin_slope(z))
)

acosh: Unary = with_slope(
    differentiated_as(_acosh_value, _acosh_formula), lambda z: _acosh_slope(z)
)
_acosh_slope: Unary = with_slope(
    lambda z: rsqrt(_plus(-1, z)) * rsqrt(_plus(1, z)),
    lambda z: -(z * _acosh_slope(z)) * (_acosh_slope(z) * _acosh_slope(z)),
)


def asinh(z: jax.Array) -> jax.Array:
    """Inverse hyperbolic sine, -i asin iz."""
    return _turned_back(asin(_turned(z)))


atanh: Unary = with_slope(differentiated_as(_atanh_value, jnp.atanh), lambda z: _atanh_slope(z))
_atanh_slope: Unary = with_slope(
    lambda z: reciprocal(_plus(1, -z)) * reciprocal(_plus(1, z)),
    lambda z: 2 * (z * _atanh_slope(z)) * _atanh_slope(z),
)


def atan(z: jax.Array) -> jax.Array:
    """Inverse tangent, -i atanh iz."""
    return _turned_back(atanh(_turned(z)))


def sign(z: jax.Array) -> jax.Array:
    """The unit in the direction of z, 0 at 0 as its derivative there; of infinities as in NumPy."""
    x, y = _parts(z)
    zero, far_x, far_y = z == 0, jnp.isinf(x), jnp.isinf(y)
    real = jnp.where(far_x, jnp.copysign(1, x), jnp.where(far_y, 0, x))
    imag = jnp.where(far_y, jnp.copysign(1, y), jnp.where(far_x, 0, y))
    real = jnp.where(far_x & far_y, jnp.nan, jnp.where(zero, 1, real))
    return jnp.where(zero, 0, lax.complex(*direction(real, imag)))
