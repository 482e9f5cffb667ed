"""Calls LAPACK with so few matrices at a time that no thread waits for another.

jaxlib 0.10.0 to 0.11.1 shares a batch among the threads of XLA's pool, and the
thread that does so waits for them. It is one of that pool: once as many batches
are computed as there are threads, all wait for ever, and nothing can stop them.
Two batched Cholesky factorisations in one program are enough on two cores. A
batch of less than 200,000 operations is not shared, so that larger ones are cut
into such pieces here, one after another; jaxlib 0.11.2 shares none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import jax
import jaxlib.version
from jax import lax
from jax.interpreters import mlir

_SHARES_BATCHES = ((0, 10, 0), (0, 11, 2))
"""The first jaxlib that shares batches, and the first that no longer does."""

_LEAST_SHARED = 200_000
"""The operations of a batch, by jaxlib's estimate. ``_estimate`` is no lower."""

_WORK = {
    "cholesky": 1,
    "eig": 10,
    "eigh": 5,
    "geqp3": 2,
    "geqrf": 2,
    "hessenberg": 2,
    "householder_product": 4,
    "lu": 1,
    "ormqr": 4,
    "schur": 5,
    "svd": 10,
    "triangular_solve": 1,
    "tridiagonal": 2,
    "tridiagonal_solve": 5,
}
"""Operations for a matrix in units of rows x columns x the shorter of the two, by primitive."""

_VECTORS = ("tridiagonal_solve",)
"""The primitives whose first operand is a vector and not a matrix."""


def cut_batches() -> None:
    """Makes JAX's CPU rules for LAPACK run with small batches, in this process.

    Raises:
        RuntimeError: this JAX has no such rule under a name above.
    """
    first, end = _SHARES_BATCHES
    if not first <= jaxlib.version.__version_info__ < end:
        return
    rules = {p.name: (p, e.rule) for p, e in mlir._platform_specific_lowerings["cpu"].items()}
    if missing := _WORK.keys() - rules.keys():
        raise RuntimeError(f"JAX must have CPU rules for {sorted(missing)}; it has none")
    for name in _WORK:
        primitive, rule = rules[name]
        mlir.register_lowering(primitive, _in_pieces(primitive, rule), platform="cpu")


def _in_pieces(primitive: Any, rule: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a lowering rule that calls ``rule`` with as many matrices as aren't shared."""

    def lower(context: Any, *operands: Any, **params: Any) -> Any:
        shapes = [aval.shape for aval in context.avals_in]
        dtype = context.avals_in[0].dtype
        batch = shapes[0][: -1 if primitive.name in _VECTORS else -2]
        work = _estimate(primitive.name, [s[len(batch) :] for s in shapes], dtype.kind == "c")
        if prod(batch) <= 1 or prod(batch) * work < _LEAST_SHARED:
            return rule(context, *operands, **params)
        size = max((_LEAST_SHARED - 1) // work, 1)

        def run(*xs: jax.Array) -> Any:
            flat = tuple(x.reshape(-1, *x.shape[len(batch) :]) for x in xs)
            # A piece of one matrix has no batch; the pieces get here again, and are small enough.
            results = lax.map(lambda x: primitive.bind(*x, **params), flat, batch_size=size)
            return jax.tree.map(lambda y: y.reshape(*batch, *y.shape[1:]), results)

        return mlir.lower_fun(run, multiple_results=primitive.multiple_results)(context, *operands)

    return lower


def _estimate(name: str, shapes: Sequence[tuple[int, ...]], is_complex: bool) -> int:
    matrices = [shape for shape in shapes if len(shape) == 2]
    size, shorter = max(map(prod, matrices)), max(map(min, matrices))
    return max(_WORK[name] * size * shorter * (3 if is_complex else 1), 1)
