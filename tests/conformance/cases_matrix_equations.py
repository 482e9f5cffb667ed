"""Cases of the linear-algebra family: matrix equations, square root and logarithm of a matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.linalg

from conformance.cases_linalg import DOUBLES, regular
from conformance.harness import INEXACT32, Case, Make, Rng, normal
from gradwire.tensors import Array, Dtype


def _matrices(*operands: tuple[tuple[int, ...], float, float]) -> Make:
    """For each operand a shape, a scale, and a multiple of the unit matrix that is added."""

    def make(rng: Rng, dtype: Dtype) -> Sequence[Array]:
        return [
            (normal(rng, dtype, shape, scale) + shift * np.eye(*shape[-2:])).astype(dtype)
            for shape, scale, shift in operands
        ]

    return make


def _one_by_one(function: Callable[..., Any], signature: str) -> Callable[..., Array]:
    """Maps SciPy's function over batches; a real operand gives a real result."""

    def run(*operands: Array) -> Array:
        mapped = np.vectorize(function, signature=signature)(*operands)
        return np.asarray(mapped if np.iscomplexobj(operands[0]) else np.real(mapped))

    return run


_SQUARE = "(n,n),(n,n)->(n,n)"
REFERENCES = {
    "logm": _one_by_one(scipy.linalg.logm, "(n,n)->(n,n)"),
    "solve_continuous_lyapunov": _one_by_one(scipy.linalg.solve_continuous_lyapunov, _SQUARE),
    "solve_discrete_lyapunov": _one_by_one(scipy.linalg.solve_discrete_lyapunov, _SQUARE),
    "solve_sylvester": _one_by_one(scipy.linalg.solve_sylvester, "(m,m),(n,n),(m,n)->(m,n)"),
    "sqrtm": _one_by_one(scipy.linalg.sqrtm, "(n,n)->(n,n)"),
}


def _case(op: str, make: Make, name: str = "", **options: Any) -> Case:
    dtypes = DOUBLES if name else INEXACT32
    options = {"ulps": 128} | options
    reference = options.pop("reference", REFERENCES[op])
    return Case(f"linalg.{op}", make, reference, dtypes, name=name, **options)


def _log_by_eigenvalues(x: Array) -> Array:
    """SciPy's own estimate of its error is too high at large matrices, and warns."""
    values, vectors = np.linalg.eig(x.astype(np.complex128))
    log = vectors * np.log(values) @ np.linalg.inv(vectors)
    return np.asarray(log if np.iscomplexobj(x) else log.real)


def _projector(rng: Rng, dtype: Dtype) -> Sequence[Array]:
    """Its own root, with 0 twice an eigenvalue."""
    del rng
    return [np.diag([1, 1, 0, 0]).astype(dtype)]


CASES = (
    _case("logm", regular(3, 3)),
    _case("logm", regular(2, 1, 4, 4), "batch"),
    # Rounding the matrix alone moves its logarithm, of size 1e-3, by so much.
    _case("logm", _matrices(((3, 3), 0.001, 1)), "near_one", ulps=2**14, wrt=()),
    _case("logm", _matrices(((3, 3), 1, 1e3)), "large", reference=_log_by_eigenvalues, wrt=()),
    _case("sqrtm", regular(3, 3)),
    _case("sqrtm", regular(2, 1, 4, 4), "batch"),
    _case("sqrtm", _projector, "projector", reference=lambda x: x, wrt=()),
    _case("solve_continuous_lyapunov", _matrices(((3, 3), 1, 4), ((3, 3), 1, 0))),
    _case(
        "solve_continuous_lyapunov",
        _matrices(((2, 1, 2, 2), 0.5, -3), ((3, 2, 2), 1, 0)),
        "batch",
    ),
    _case("solve_discrete_lyapunov", _matrices(((3, 3), 0.2, 0), ((3, 3), 1, 0))),
    _case(
        "solve_discrete_lyapunov",
        _matrices(((2, 2), 0.25, 3), ((3, 1, 2, 2), 1, 0)),
        "expanding",
    ),
    _case("solve_sylvester", _matrices(((3, 3), 1, 4), ((2, 2), 1, 3), ((3, 2), 1, 0))),
    _case(
        "solve_sylvester",
        _matrices(((2, 2, 2), 0.3, 1), ((3, 3), 0.3, -3), ((2, 1, 2, 3), 1, 0)),
        "batch",
    ),
)
