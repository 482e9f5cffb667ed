"""Keeps matrices with NaN or infinity from LAPACK, and makes all that depends on them NaN.

Some of LAPACK's iterations never end on infinities, and nothing can stop them;
others return finite numbers. So such a matrix is replaced by a harmless one and
the results by NaN. A ``cond`` is not sufficient: in a batch both its sides run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering

MATRIX = "matrix"
VECTOR = "vector"
COLUMNS = "columns"
"""A right-hand side (n,) or (..., n, k). Each column is checked by itself."""

Part = Callable[[jax.Array, Mapping[str, Any]], jax.Array]
"""Returns an operand with 0 in the elements that the op doesn't read."""


@dataclass(frozen=True)
class Operand:
    """An operand of an op that calls LAPACK.

    Attributes:
        kind: ``MATRIX``, ``VECTOR`` or ``COLUMNS``: which of the last axes belong together.
        read: The part that counts, given the operand and the op's attributes.
    """

    kind: str = MATRIX
    read: Part = lambda x, attrs: x


def guarded(lowering: Lowering, *operands: Operand) -> Lowering:
    """Returns the lowering with NaN for each matrix that isn't finite in one of its operands.

    Other matrices of a batch are computed as usual. The derivatives of NaN are
    NaN, too, forward and in reverse: a ``where`` alone would make them 0. So
    operands and results are multiplied by 1, or by NaN.

    Args:
        lowering: Takes the operands, batched in front with broadcasting, and attributes.
        operands: The description of each operand.
    """

    def run(*values: jax.Array, **attrs: Any) -> Any:
        harmless, flags = [], []
        for x, operand in zip(values, operands, strict=True):
            flag = _finite(operand.read(lax.stop_gradient(x), attrs), operand.kind)
            harmless.append(_replaced(x, flag, operand.kind))
            flags.append(flag)
        wide = any(
            operand.kind == COLUMNS and x.ndim > 1
            for x, operand in zip(values, operands, strict=True)
        )
        good = jnp.ones((), bool)
        for flag, operand in zip(flags, operands, strict=True):
            good = good & (flag if operand.kind == COLUMNS or not wide else flag[..., None])
        outputs = lowering(*harmless, **attrs)
        if not isinstance(outputs, tuple | list):
            return _spoilt(outputs, good, wide)
        return [_spoilt(x, good, wide) for x in outputs]

    return run


def _core(x: jax.Array, kind: str) -> int:
    """Returns how many of the last axes belong together."""
    return min(x.ndim, 1 if kind == VECTOR else 2)


def _finite(x: jax.Array, kind: str) -> jax.Array:
    """Returns whether each matrix, each vector or each column is finite."""
    axes = (-2,) if kind == COLUMNS and x.ndim > 1 else tuple(range(-_core(x, kind), 0))
    return jnp.all(jnp.isfinite(x), axes)


def _replaced(x: jax.Array, good: jax.Array, kind: str) -> jax.Array:
    """Returns the operand with I, ones or a column of 0 where it isn't good."""
    core = x.shape[x.ndim - _core(x, kind) :]
    if kind == MATRIX:
        other = jnp.eye(core[0], core[1], dtype=x.dtype)
    else:
        other = jnp.full(core, 1 if kind == VECTOR else 0, x.dtype)
    if kind == COLUMNS and x.ndim > 1:
        good = good[..., None, :]
    else:
        good = good.reshape(_stretched(good, len(core)))
    return jnp.where(good, _times(x, _one_or_nan(good, x)), other)


def _spoilt(x: jax.Array, good: jax.Array, wide: bool) -> jax.Array:
    """Returns a result with NaN where what it is computed from isn't good."""
    shape = (*good.shape[:-1], 1, good.shape[-1]) if wide else _stretched(good, x.ndim - good.ndim)
    good = good.reshape(shape)
    spoilt = _times(x, _one_or_nan(good, x))
    # The compiler simplifies 0 * NaN to 0 where it knows the 0, but not 0 + NaN.
    return jnp.where(good, spoilt, spoilt + jnp.nan)


def _stretched(good: jax.Array, axes: int) -> tuple[int, ...]:
    return good.shape + (1,) * axes


def _one_or_nan(good: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.where(good, 1, jnp.nan).astype(x.real.dtype)


def _times(x: jax.Array, factor: jax.Array) -> jax.Array:
    """Returns x times a real factor, and keeps the sign of each part that is 0."""
    if jnp.iscomplexobj(x):
        return lax.complex(x.real * factor, x.imag * factor)
    return x * factor


def _triangle(x: jax.Array, attrs: Mapping[str, Any]) -> jax.Array:
    """What ``solve_triangular`` and ``cho_solve`` read."""
    inner = int(attrs.get("unit_diagonal", False))
    return jnp.tril(x, -inner) if attrs["lower"] else jnp.triu(x, inner)


def _hermitian_half(x: jax.Array, attrs: Mapping[str, Any]) -> jax.Array:
    """What ``eigh``, ``eigvalsh`` and ``cholesky`` read."""
    lower = attrs["lower"] if "lower" in attrs else not attrs["upper"]
    return jnp.tril(x) if lower else jnp.triu(x)


def _but_first(x: jax.Array, attrs: Mapping[str, Any]) -> jax.Array:
    return jnp.where(jnp.arange(x.shape[-1]) == 0, 0, x)


def _but_last(x: jax.Array, attrs: Mapping[str, Any]) -> jax.Array:
    return jnp.where(jnp.arange(x.shape[-1]) == x.shape[-1] - 1, 0, x)


_matrix, _hermitian, _columns = Operand(), Operand(MATRIX, _hermitian_half), Operand(COLUMNS)

GUARDED: dict[str, tuple[Operand, ...]] = {
    "linalg.cho_solve": (Operand(MATRIX, _triangle), _columns),
    "linalg.cholesky": (_hermitian,),
    "linalg.det": (_matrix,),
    "linalg.eig": (_matrix,),
    "linalg.eigh": (_hermitian,),
    "linalg.eigvals": (_matrix,),
    "linalg.eigvalsh": (_hermitian,),
    "linalg.expm": (_matrix,),
    "linalg.inv": (_matrix,),
    "linalg.logm": (_matrix,),
    "linalg.lstsq": (_matrix, _columns),
    "linalg.lu": (_matrix,),
    "linalg.pinv": (_matrix,),
    "linalg.qr": (_matrix,),
    "linalg.slogdet": (_matrix,),
    "linalg.solve": (_matrix, _columns),
    "linalg.solve_continuous_lyapunov": (_matrix, _matrix),
    "linalg.solve_discrete_lyapunov": (_matrix, _matrix),
    "linalg.solve_sylvester": (_matrix, _matrix, _matrix),
    "linalg.solve_triangular": (Operand(MATRIX, _triangle), _columns),
    "linalg.sqrtm": (_matrix,),
    "linalg.svd": (_matrix,),
    "linalg.svdvals": (_matrix,),
    "linalg.tridiagonal_solve": (
        Operand(VECTOR, _but_first),
        Operand(VECTOR),
        Operand(VECTOR, _but_last),
        _columns,
    ),
}
"""The ops that factorise or solve, and what their operands are.

The rest of the family is sums and products, which propagate NaN by themselves and
keep NumPy's infinities; the two that call LAPACK for some of their attributes,
``matrix_norm`` and ``matrix_power``, guard it themselves.
"""


def guard_all(lowerings: Mapping[str, Lowering]) -> dict[str, Lowering]:
    """Returns the lowerings, those of ``GUARDED`` with a guard."""
    return {
        name: guarded(lowering, *GUARDED[name]) if name in GUARDED else lowering
        for name, lowering in lowerings.items()
    }
