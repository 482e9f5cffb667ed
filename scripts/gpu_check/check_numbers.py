"""Checks of numbers: precision of products, dtypes, linear algebra. They need a server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np

import gradwire as gw
from gpu_check.machine import Machine
from gpu_check.matrices import CASES, Case, Factors, make_factors
from gpu_check.report import Check, FailedError, Figures, NotSeen, as_check
from gpu_check.servers import Server

_TRUE_FLOAT32 = 2.0**-19
"""What a product of 512 terms may be wrong by, in units of |a| |b|; with TF32 it is 2^-14."""
_FIRST_TF32 = 8.0
"""The first compute capability that has it: Ampere."""
_TF32_FACTOR = 8.0


def float32_products(machine: Machine, server: Server) -> Figures:
    """Products in float32, and their gradients, are true float32 unless the caller says less."""
    error = _product_error(server.target, "highest")
    figures: Figures = {"error": error, "allowed": _TRUE_FLOAT32}
    if not error <= _TRUE_FLOAT32:
        raise FailedError("products in float32 are less exact than float32", **figures)
    return figures


def tf32_on_request(machine: Machine, server: Server) -> Figures:
    """With the precision `fast` products are visibly less exact: TF32 is used on request."""
    exact = _product_error(server.target, "highest")
    fast = _product_error(server.target, "fast")
    figures: Figures = {"highest": exact, "fast": fast}
    if not machine.has_gpu:
        raise NotSeen("a processor has no TF32", **figures)
    if float(machine.device["capability"] or "0") < _FIRST_TF32:
        raise NotSeen(f"compute capability {machine.device['capability']} has no TF32", **figures)
    figures["high"] = _product_error(server.target, "high")
    if not fast >= _TF32_FACTOR * exact:
        raise FailedError("`fast` is as exact as `highest`", **figures)
    return figures


def _product_error(target: str, precision: str) -> float:
    """Returns the largest error of a product or its gradients, in units of |a| |b|."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 512, 512)).astype(np.float32)
    ct = rng.standard_normal((512, 512)).astype(np.float32)
    with gw.connect(target, precision=precision) as connection:
        product = gw.remote(lambda a, b, ct: gw.vjp(np.matmul, (a, b), ct), connection=connection)
        value, (ct_a, ct_b) = product(a, b, ct)
    a, b, ct = (x.astype(np.float64) for x in (a, b, ct))
    return max(
        float((np.abs(got - x @ y) / (np.abs(x) @ np.abs(y))).max())
        for got, x, y in ((value, a, b), (ct_a, ct, b.T), (ct_b, a.T, ct))
    )


def float64_results(machine: Machine, server: Server) -> Figures:
    """float64 stays float64: integers beyond float32 multiply exactly, exp has 15 digits."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-(2**20), 2**20, (2, 128, 128))
    x = np.linspace(-3.0, 3.0, 64)

    def program(a: Any, b: Any, x: Any) -> Any:
        return a @ b, x + 2.0**-50, gw.grad(lambda x: np.sum(np.exp(x)))(x)

    with gw.connect(server.target) as connection:
        call = gw.remote(program, connection=connection)
        product, moved, slope = call(a.astype(np.float64), b.astype(np.float64), x)
    error = float(np.abs(slope / np.exp(x) - 1.0).max())
    figures: Figures = {"error_of_exp": error}
    if not np.array_equal(product, (a @ b).astype(np.float64)):
        raise FailedError("a product of integers below 2^48 is not exact", **figures)
    if not np.array_equal(moved, x + 2.0**-50) or not error < 2e-15:
        raise FailedError("float64 was narrowed", **figures)
    return figures


def bfloat16_results(machine: Machine, server: Server) -> Figures:
    """bfloat16 products are sums in float32 rounded once, and gradients have its 8 bits."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-8, 9, (2, 32, 32))
    x = np.linspace(-2.0, 2.0, 32).astype(ml_dtypes.bfloat16)

    def program(a: Any, b: Any, x: Any) -> Any:
        squares = gw.grad(lambda x: np.sum(x * x))(x)
        return gw.ops.matmul(a, b), squares, gw.grad(lambda x: np.sum(np.tanh(x)))(x)

    with gw.connect(server.target) as connection:
        call = gw.remote(program, connection=connection)
        results = call(a.astype(ml_dtypes.bfloat16), b.astype(ml_dtypes.bfloat16), x)
    product, squares, slope = results
    right = 1.0 - np.tanh(x.astype(np.float64)) ** 2
    error = float(np.abs(slope.astype(np.float64) - right).max())
    figures: Figures = {"error_of_tanh": error, "allowed": 2.0**-6}
    if {result.dtype for result in results} != {np.dtype(ml_dtypes.bfloat16)}:
        raise FailedError("results are not in bfloat16", **figures)
    exact = np.array_equal(product, (a @ b).astype(ml_dtypes.bfloat16))
    if not exact or not np.array_equal(squares, 2 * x) or not error <= 2.0**-6:
        raise FailedError("bfloat16 is not as exact as it must be", exact=str(exact), **figures)
    return figures


def linear_algebra_checks() -> list[Check]:
    """Returns a check for each decomposition."""
    checks = []
    for name, make_case in CASES.items():
        run = partial(_check_case, make_case())
        said = (make_case.__doc__ or "").partition("\n")[0]
        checks.append(Check(f"linalg: {name}", run, f"Factors and gradients are right. {said}"))
    return checks


def _check_case(case: Case, machine: Machine, server: Server) -> Figures:
    """Checks one decomposition, alone and in a batch, in both dtypes."""
    kinds: list[tuple[type, int, int]] = [(np.float64, 24, 1)]
    if not machine.quick:
        kinds += [(np.float64, 6, 4), (np.float32, 24, 1), (np.float32, 6, 4)]
    with gw.connect(server.target) as connection, ThreadPoolExecutor(len(kinds)) as pool:
        errors = list(pool.map(lambda kind: _error_of(case, connection, *kind), kinds))
    figures: Figures = {}
    for (dtype, n, rows), error in zip(kinds, errors, strict=True):
        figures[f"{np.dtype(dtype).name}_{n}x{n}{f'_times_{rows}' if rows > 1 else ''}"] = error
    wrong = [
        name
        for (dtype, n, _), name, error in zip(kinds, figures, errors, strict=True)
        if not error <= 200 * n * np.finfo(dtype).eps
    ]
    if wrong:
        raise FailedError(f"the error is more than 200 n eps: {', '.join(wrong)}", **figures)
    return figures


def _error_of(case: Case, connection: gw.Connection, dtype: type, n: int, rows: int) -> float:
    """Returns the largest error of all results, each relative to its largest element."""
    factors = [make_factors(n, shift) for shift in range(rows)]
    fields = (case.argument, "weights", "target")
    arguments = [np.stack([getattr(f, name) for f in factors]).astype(dtype) for name in fields]
    if rows == 1:
        results = gw.remote(case.program, connection=connection)(*(x[0] for x in arguments))
        results = [np.asarray(result)[None] for result in results]
    else:
        results = gw.remote(gw.vmap(case.program), connection=connection)(*arguments)
    return max(
        _relative_error(case, f, *(np.asarray(result[k], np.float64) for result in results))
        for k, f in enumerate(factors)
    )


def _relative_error(case: Case, factors: Factors, *results: np.ndarray) -> float:
    return max(
        float(np.abs(got - right).max()) / max(float(np.abs(right).max()), 1.0)
        for got, right in case.residuals(factors, *results)
    )


def hosted_linear_algebra(machine: Machine, server: Server) -> Figures:
    """What only a processor's LAPACK computes, schur and eig, is right, or refused by name."""
    factors = make_factors(12)
    a, root = factors.symmetric, factors.q * np.sqrt(factors.spectrum) @ factors.q.T
    logarithm = factors.q * np.log(factors.spectrum) @ factors.q.T
    linalg = gw.ops.linalg
    cases: dict[str, tuple[Any, Any]] = {
        "sqrtm": (linalg.sqrtm, root),
        "logm": (linalg.logm, logarithm),
        "sylvester": (lambda a: linalg.solve_sylvester(a, a, 2 * a @ a), a),
        "eigvals": (lambda a: np.sort(np.real(np.linalg.eigvals(a))), factors.spectrum[::-1]),
    }
    figures: Figures = {}
    refused = []
    with gw.connect(server.target) as connection:
        for name, (function, right) in cases.items():
            try:
                got = gw.remote(function, connection=connection)(a)
            except gw.UnsupportedError:
                refused.append(name)
                continue
            figures[name] = float(np.abs(got - right).max())
    if wrong := [name for name, error in figures.items() if not float(error) < 1e-11]:
        raise FailedError(f"wrong: {', '.join(wrong)}", **figures)
    if refused:
        raise NotSeen(f"this device offers no {', '.join(refused)}", **figures)
    return figures


FIRST = [as_check(f) for f in (float32_products, tf32_on_request, float64_results)]
CHECKS = [*FIRST, as_check(bfloat16_results), *linear_algebra_checks()]
HOSTED = as_check(hosted_linear_algebra)
