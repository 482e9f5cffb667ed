"""The calls of a load test: five operators, their arguments, and the results.

Expected results come from closed forms in NumPy and never from a server. Must not use
the network; the sizes are such that one call takes a core a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import gradwire as gw

Array = np.ndarray[Any, Any]

VARIANTS = 8
"""Different arguments for each operator, so that an answer to another call is noticed."""


@dataclass(frozen=True)
class Kind:
    """One kind of call.

    Attributes:
        name: What the tables call it.
        share: How often it is called, relative to the others.
        function: A function of arrays, to be prepared.
        draw: Makes arguments.
        expect: Returns the leaves of the right answer, in float64.
        rtol: How far an answer may be off, relative to its largest element.
    """

    name: str
    share: float
    function: Callable[..., Any]
    draw: Callable[[np.random.Generator], tuple[Any, ...]]
    expect: Callable[..., Sequence[Array]]
    rtol: float


def is_right(got: Sequence[Array], wanted: Sequence[Array], rtol: float) -> bool:
    """Says whether an answer is what was expected."""
    return len(got) == len(wanted) and all(
        g.shape == w.shape and bool(np.all(np.abs(g - w) <= rtol * np.max(np.abs(w), initial=1e-6)))
        for g, w in zip(got, wanted, strict=True)
    )


def make_kinds() -> list[Kind]:
    """Returns the kinds of call."""
    return [
        Kind("gradient", 3, gw.grad(_log_det), _draw_log_det, _log_det_gradient, 1e-9),
        Kind("vjp", 3, _pull, _draw_pull, _pull_by_hand, 1e-3),
        Kind("batched_jacobian", 2, gw.batched_jacobian(_network), _draw_batch, _blocks, 1e-3),
        Kind("hessian_diagonal", 1, _ridge_diagonal, _draw_ridges, _ridge_diagonal_by_hand, 1e-4),
        Kind("trace_estimate", 1, _quartic_trace, _draw_quartic, _quartic_trace_by_hand, 1e-4),
    ]


def simple_kinds() -> list[Kind]:
    """Returns one kind only: a call that takes no time but the service's own."""
    return [
        Kind(
            "small_gradient",
            1,
            gw.grad(lambda x: np.sum(np.sin(x))),
            lambda rng: (rng.standard_normal(32),),
            lambda x: [np.cos(x)],
            1e-9,
        )
    ]


MIXES = {"mixed": make_kinds, "small": simple_kinds}

# log det of D + v vᵀ with D = diag(exp x). The inverse is by Sherman and Morrison
# D⁻¹ - D⁻¹v vᵀD⁻¹ / (1 + vᵀD⁻¹v), and the gradient its diagonal times exp x.


def _log_det(x: Array, v: Array) -> Any:
    return np.linalg.slogdet(np.diag(np.exp(x)) + np.outer(v, v))[1]


def _draw_log_det(rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.standard_normal(320), rng.standard_normal(320)


def _log_det_gradient(x: Array, v: Array) -> list[Array]:
    u = v**2 * np.exp(-x)
    return [1 - u / (1 + u.sum())]


# An MLP of tanh layers, of which the inner ones share their weights. These are the same
# for all calls, and travel as captured values.

_IN, _WIDTH, _INNER = 24, 64, 56


def _make_weights() -> tuple[Array, ...]:
    rng = np.random.default_rng(0)
    shapes = ((_IN, _WIDTH), (_WIDTH, _WIDTH), (_WIDTH, _IN))
    return tuple((rng.standard_normal(s) / np.sqrt(s[0])).astype(np.float32) for s in shapes)


_WEIGHTS = _make_weights()


def _network(x: Any) -> Any:
    first, inner, last = _WEIGHTS
    x = np.tanh(x @ first)
    for _ in range(_INNER):
        x = np.tanh(x @ inner)
    return x @ last


def _pull(x: Any, u: Any) -> Any:
    return gw.vjp(_network, (x,), u)


def _draw_pull(rng: np.random.Generator) -> tuple[Array, Array]:
    x, u = rng.standard_normal((2, 128, _IN)).astype(np.float32)
    return x, u


def _run_network(x: Array) -> tuple[list[Array], list[Array]]:
    """Returns the layers' weights and their values, in float64."""
    first, inner, last = (w.T.astype(np.float64) for w in _WEIGHTS)
    weights = [first, *[inner] * _INNER]
    values = [np.tanh(x.astype(np.float64) @ first.T)]
    for weight in weights[1:]:
        values.append(np.tanh(values[-1] @ weight.T))
    return [*weights, last], values


def _pull_by_hand(x: Array, u: Array) -> list[Array]:
    weights, values = _run_network(x)
    back = u @ weights[-1]
    for weight, value in zip(weights[-2::-1], values[::-1], strict=True):
        back = (back * (1 - value**2)) @ weight
    return [values[-1] @ weights[-1].T, back]


def _draw_batch(rng: np.random.Generator) -> tuple[Array]:
    return (rng.standard_normal((16, _IN)).astype(np.float32),)


def _blocks(x: Array) -> list[Array]:
    weights, values = _run_network(x)
    forward = np.eye(_IN)
    for weight, value in zip(weights, values, strict=False):
        forward = (1 - value**2)[:, :, None] * (weight @ forward)
    return [weights[-1] @ forward]


# s(x) = aᵀtanh(Wx) has the diagonal second derivatives Σₖ aₖ (-2 tₖ (1 - tₖ²)) Wₖᵢ².

_ROUGH = np.random.default_rng(1).standard_normal((256, _IN)).astype(np.float32) / 5
_SLOPES = np.random.default_rng(2).standard_normal(256).astype(np.float32)


def _ridge_diagonal(x: Any) -> Any:
    return gw.vmap(gw.hessian_diagonal(lambda x: _SLOPES @ np.tanh(_ROUGH @ x)))(x)


def _draw_ridges(rng: np.random.Generator) -> tuple[Array]:
    return (rng.standard_normal((256, _IN)).astype(np.float32),)


def _ridge_diagonal_by_hand(x: Array) -> list[Array]:
    t = np.tanh(x @ _ROUGH.T.astype(np.float64))
    return [(_SLOPES * -2 * t * (1 - t**2)) @ _ROUGH.astype(np.float64) ** 2]


# s(x) = Σ xᵢ⁴ / 12 has the Hessian diag(x²): for it random signs are exact, whatever they
# are, and so is their standard error, which is 0 to rounding.


def _quartic_trace(x: Any) -> Any:
    estimate = gw.trace_estimate(lambda x: np.sum(x**4) / 12, operator="hessian", num_samples=512)
    return estimate(x, seed=7)[:1]


def _draw_quartic(rng: np.random.Generator) -> tuple[Array]:
    return (rng.standard_normal(1024).astype(np.float32),)


def _quartic_trace_by_hand(x: Array) -> list[Array]:
    return [np.sum(x.astype(np.float64) ** 2)]
