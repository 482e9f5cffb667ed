"""Values that an equation defines; their derivatives are those of the equation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.tensors import TensorType
from gradwire.trace.traced import Traced
from gradwire.transforms.control import (
    check_same,
    emit_control,
    one_argument,
    trace_callee,
    traced_leaves,
)
from gradwire.transforms.derivation import Operator
from gradwire.trees import unflatten

_ROUNDINGS = 64
"""How many units of rounding a residual may have by default."""


def fixed_point(
    f: Callable[[Any], Any],
    x0: Any,
    *,
    tolerance: float | None = None,
    max_iterations: int = 1000,
) -> Any:
    """Solves ``x = f(x)`` by iteration.

    Derivatives come from the equation, by the implicit function theorem, not
    through the iterations; of any order, in both modes.

    Args:
        f: Returns a value like its argument.
        x0: The first guess, which has no derivative.
        tolerance: The greatest ``|f(x) - x|`` that is accepted; some
            units of rounding of the dtype by default.
        max_iterations: The greatest number of steps.

    Returns:
        The fixed point, to the tolerance or as well as rounding allows. NaN,
        with NaN for derivatives and a warning, if ``max_iterations`` end it
        while it still moves, by more than the square root of a unit of rounding
        relative to the value in the last step or in the last quarter of them:
        it diverges, oscillates, or needs more steps or another tolerance.
    """
    return _solve("fixed_point", f, x0, tolerance, max_iterations)


def root(
    f: Callable[[Any], Any],
    x0: Any,
    *,
    tolerance: float | None = None,
    max_iterations: int = 100,
) -> Any:
    """Solves ``f(x) = 0`` by Newton's method with dense Jacobians.

    Derivatives come from the equation, by the implicit function theorem; of any
    order, in both modes.

    Args:
        f: Returns a value with the tree, shapes and dtypes of its argument.
        x0: The first guess, which has no derivative.
        tolerance: The greatest ``|f(x)|`` that is accepted; some units of rounding of
            the dtype by default.
        max_iterations: The greatest number of steps.

    Returns:
        The root, to the tolerance or as well as rounding allows. NaN, with NaN
        for derivatives and a warning, if ``max_iterations`` end it while it
        still moves, as in ``fixed_point``: there is no root, or none on the way
        from this guess.
    """
    return _solve("root", f, x0, tolerance, max_iterations)


def linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[..., Any],
    transpose_solve: Callable[..., Any] | None = None,
    symmetric: bool = False,
) -> Any:
    """Solves ``matvec(x) = b`` by the caller's solver.

    Derivatives are solutions of the same system, not derivatives of the solver.

    Args:
        matvec: Linear; returns a value like its argument.
        b: The right-hand side.
        solve: Called as ``solve(matvec, b)``; returns x.
        transpose_solve: Called as ``transpose_solve(matvec, b)``; solves the
            transposed system, which reverse mode needs unless it is symmetric.
        symmetric: Whether the system is its own transpose.

    Returns:
        x, like ``b``.
    """

    def emit(b: Any) -> Any:
        operands, tree = traced_leaves(b)
        types = [x.ref.type for x in operands]
        solvers = [lambda b: solve(matvec, b)]
        if transpose_solve is not None:
            solvers.append(lambda b: transpose_solve(matvec, b))
        functions = [
            trace_callee(f, operands, types, one_argument(tree)) for f in (matvec, *solvers)
        ]
        for what, function in zip(
            ("`matvec`", "`solve`", "`transpose_solve`"), functions, strict=False
        ):
            check_same(what, function, tree, types)
        outputs = emit_control("linear_solve", functions, operands, {"symmetric": symmetric})
        return unflatten(tree, outputs)

    return Operator("linear_solve", matvec, emit)(b)


def _solve(
    op: str, f: Callable[[Any], Any], x0: Any, tolerance: float | None, max_iterations: int
) -> Any:
    def emit(x0: Any) -> Any:
        operands, tree = traced_leaves(x0)
        types = [x.ref.type for x in operands]
        traced = trace_callee(f, operands, types, one_argument(tree))
        check_same("`f`", traced, tree, types)
        allowed = _rounding(types) if tolerance is None else float(tolerance)
        attrs = {"tolerance": allowed, "max_iterations": max_iterations}
        outputs: list[Traced] = emit_control(op, [traced], operands, attrs)
        return unflatten(tree, outputs)

    return Operator(op, f, emit)(x0)


def _rounding(types: list[TensorType]) -> float:
    return _ROUNDINGS * max(float(np.finfo(t.dtype).eps) for t in types)
