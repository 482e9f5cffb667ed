"""Values that an equation defines. Derivatives are the equation's, not the solver's.

For f(p, x(p)) = 0 the implicit function theorem has ∂x = −(∂f/∂x)⁻¹ ∂f/∂p ∂p:
at any order one linear system with the dense matrix ∂f/∂x at the solution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from gradwire_server.compiler.derivatives.control import Arrays, bind
from gradwire_server.compiler.lowering.core import Lowering

Equation = Callable[[Arrays], Arrays]

State = tuple[jax.Array, Arrays, Arrays, Arrays, Arrays]
"""The steps taken; x before the last quarter of them, before the last, now; its residual."""


def _linear_solve(*arguments: Any, captures: tuple[int, ...], symmetric: bool) -> Arrays:
    (product, solve, *transposed), side = bind(arguments, captures)
    transpose_solve = (lambda _, b: transposed[0](*b)) if transposed else None
    solution: Arrays = lax.custom_linear_solve(
        lambda x: product(*x),
        side,
        lambda _, b: solve(*b),
        transpose_solve,
        symmetric=symmetric,
    )
    return solution


def _fixed_point(
    *arguments: Any, captures: tuple[int, ...], tolerance: float, max_iterations: int
) -> Arrays:
    (f,), guess = bind(arguments, captures)

    def equation(x: Arrays) -> Arrays:
        return tuple(new - old for new, old in zip(f(*x), x, strict=True))

    def step(x: Arrays, residual: Arrays) -> Arrays:
        return tuple(old + change for old, change in zip(x, residual, strict=True))

    return _solve(equation, step, guess, tolerance, max_iterations)


def _root(
    *arguments: Any, captures: tuple[int, ...], tolerance: float, max_iterations: int
) -> Arrays:
    (f,), guess = bind(arguments, captures)

    def step(x: Arrays, residual: Arrays) -> Arrays:
        _, push = jax.linearize(lambda *x: f(*x), *x)
        change = _solve_dense(lambda t: push(*t), residual)
        return tuple(old - d for old, d in zip(x, change, strict=True))

    return _solve(lambda x: f(*x), step, guess, tolerance, max_iterations)


def _solve(
    equation: Equation,
    step: Callable[[Arrays, Arrays], Arrays],
    guess: Arrays,
    tolerance: float,
    max_iterations: int,
) -> Arrays:
    """Steps until no residual is above the tolerance.

    If the steps end otherwise, and rounding isn't the reason, the result is NaN,
    and so are its derivatives.
    """

    def solve(f: Equation, x: Arrays) -> Arrays:
        def going(state: State) -> jax.Array:
            count, *_, residual = state
            return (count < max_iterations) & (_largest(residual) > tolerance)

        def next_state(state: State) -> State:
            count, kept, _, x, residual = state
            late = count == max_iterations - max(1, max_iterations // 4)
            kept = tuple(jnp.where(late, new, old) for new, old in zip(x, kept, strict=True))
            new = step(x, residual)
            return count + 1, kept, x, new, f(new)

        start = (jnp.asarray(0), x, x, x, f(x))
        _, kept, before, x, residual = lax.while_loop(going, next_state, start)
        worst = _largest(residual)
        moved = _moved(before, x) | _moved(kept, x)
        failed = ~jnp.isfinite(worst) | ((worst > tolerance) & moved)
        return tuple(jnp.where(failed, jnp.full_like(leaf, jnp.nan), leaf) for leaf in x)

    def marked(x: Arrays) -> Arrays:
        # Where f is affine its derivatives are finite at a NaN, too.
        mark = jnp.where(jnp.isnan(_largest(x)), jnp.nan, 1)
        return tuple(r * mark.astype(r.dtype) for r in equation(x))

    solution: Arrays = lax.custom_root(marked, guess, solve, _solve_dense)
    return solution


def _largest(arrays: Arrays) -> jax.Array:
    return jnp.max(jnp.stack([jnp.max(jnp.abs(a), initial=0) for a in arrays]))


def _moved(before: Arrays, x: Arrays) -> jax.Array:
    """Says whether x moved by more than rounding accounts for.

    Rounding can keep a residual above any tolerance, and steps by a multiple of
    eps then go on for ever; at a double root, where an error of eps in f moves
    the root by its square root, they are of the order of √eps. Steps that
    cycle, drift or grow are of the order of x. So the threshold is √eps, half
    of the digits. Many small steps can add up, so it holds for the last quarter
    of all steps as well as for the last: an iteration that has reached eps after
    n steps with an error like rⁿ moves by no more than eps^¾ in that quarter.

    Each array is measured by itself, as one unit: a large one must not hide the
    steps of a small one. But the rounding of large arrays affects small ones
    (a multiplier that is 0), so that none counts as less than ∜eps of all.
    """
    eps = float(np.finfo(x[0].dtype).eps)
    least = eps**0.25 * _largest(x)
    moved = [
        _largest((new - old,)) > eps**0.5 * jnp.maximum(least, _largest((new,)))
        for old, new in zip(before, x, strict=True)
    ]
    return jnp.any(jnp.stack(moved))


def _solve_dense(product: Equation, side: Arrays) -> Arrays:
    """Solves a linear system whose matrix is given by its products: one for each column."""
    flat, unravel = ravel_pytree(side)

    def column(unit: jax.Array) -> jax.Array:
        return ravel_pytree(product(unravel(unit)))[0]

    matrix = jax.vmap(column, out_axes=1)(jnp.eye(flat.size, dtype=flat.dtype))
    solution: Arrays = unravel(jnp.linalg.solve(matrix, flat))
    return solution


LOWERINGS: dict[str, Lowering] = {
    "fixed_point": _fixed_point,
    "linear_solve": _linear_solve,
    "root": _root,
}
