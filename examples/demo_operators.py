"""Runs every operator on the trained network and compares it with plain NumPy.

The references don't use gradwire: the network's Jacobian is the chain rule
written out, everything else finite differences, all in float64.
"""

import functools
import math
import time
from dataclasses import dataclass

import numpy as np

import gradwire as gw

SIGMA = 0.5  # the size of the noise at which the score is evaluated
BOUNDS = {"NumPy": 1e-10, "chain rule": 1e-10, "differences": 1e-6}


def product_by_hand(params, x, t, sigma, spread):
    """Returns J·t, J being the Jacobian of the score at x: the chain rule, layer by layer.

    Like the score it takes rows, too; ``t`` may have rows where ``x`` has none.
    """
    scale = np.sqrt(sigma**2 + spread**2)
    h1 = np.tanh(x / scale @ params["w1"] + np.log(sigma) * params["t1"] + params["b1"])
    h2 = np.tanh(h1 @ params["w2"] + params["b2"])
    t1 = (1 - h1**2) * (t / scale @ params["w1"])
    t2 = (1 - h2**2) * (t1 @ params["w2"])
    return (spread / sigma * (t2 @ params["w3"]) - t / scale) / scale


def differentiate(f, x, h=1e-3):
    """Returns df/dx, ``(*out, n)``, by central differences with an error of order h⁴."""

    def central(direction, h):
        return (f(x + h * direction) - f(x - h * direction)) / (2 * h)

    columns = [(4 * central(d, h / 2) - central(d, h)) / 3 for d in np.eye(x.size)]
    return np.stack(columns, axis=-1)


def list_cases(score, loss, params, batch, spread):
    """Returns for each operator a call, the result that it must have, and how that was found."""
    params = {name: p.astype(np.float64) for name, p in params.items()}
    xs, sigmas, vs = (array[:8].astype(np.float64) for array in batch)
    x, t, u, probes = xs[0], vs[1], vs[2], vs[:4]

    # The operators are applied to the score, (64,) -> (64,), and to a scalar.
    def s(x):
        return score(params, x, SIGMA)

    def energy(x):
        return 0.5 * np.sum(s(x) ** 2)

    def jac(x):
        return product_by_hand(params, x, np.eye(x.size), SIGMA, spread).T

    def slope(x):
        return s(x) @ jac(x)

    j = jac(x)
    second = differentiate(jac, x)  # d²s[o] / dx[i] dx[k]
    diagonal = np.einsum("oii->oi", second)
    hessian = differentiate(slope, x)

    # The training step once more: the gradient of a loss that holds a jvp.
    def mean_loss(t1):
        at, sizes = params | {"t1": t1}, sigmas[:, None]
        products = product_by_hand(at, xs, vs, sizes, spread)
        scores = score(at, xs, sizes)
        return np.mean(sizes**2 * (vs * products + 0.5 * scores**2)) * x.size

    loss_and_slope = mean_loss(params["t1"]), differentiate(mean_loss, params["t1"])

    @functools.cache
    def step():
        return gw.prepare(gw.value_and_grad(loss), params, xs, sigmas, vs)

    def run_step():
        value, gradient = step()(params, xs, sigmas, vs)
        return value, gradient["t1"]

    return [
        ("remote", lambda: gw.remote(s)(x), s(x), "NumPy"),
        ("jvp", lambda: gw.jvp(s, (x,), (t,)), (s(x), j @ t), "chain rule"),
        ("vjp", lambda: gw.vjp(s, (x,), u), (s(x), (u @ j,)), "chain rule"),
        ("grad", lambda: gw.grad(energy)(x), slope(x), "chain rule"),
        (
            "value_and_grad",
            lambda: gw.value_and_grad(energy)(x),
            (energy(x), differentiate(energy, x)),
            "differences",
        ),
        ("jacobian", lambda: gw.jacobian(s)(x), j, "chain rule"),
        (
            "batched_jacobian",
            lambda: gw.batched_jacobian(s)(xs),
            np.stack([jac(x) for x in xs]),
            "chain rule",
        ),
        ("jacobian_trace", lambda: gw.jacobian_trace(s)(x), np.trace(j), "chain rule"),
        ("hvp", lambda: gw.hvp(energy, (x,), (t,)), (energy(x), (hessian @ t,)), "differences"),
        ("hessian", lambda: gw.hessian(energy)(x), hessian, "differences"),
        ("hessian_diagonal", lambda: gw.hessian_diagonal(s)(x), diagonal, "differences"),
        ("laplacian", lambda: gw.laplacian(s)(x), diagonal.sum(axis=1), "differences"),
        (
            "trace_estimate",
            lambda: gw.trace_estimate(s)(x, probes=probes)[0],
            np.mean([v @ j @ v for v in probes]),
            "chain rule",
        ),
        (
            "diagonal_estimate",
            lambda: gw.diagonal_estimate(s)(x, probes=probes)[0],
            np.mean([v * (j @ v) for v in probes], axis=0),
            "chain rule",
        ),
        (
            "vmap",
            lambda: gw.vmap(gw.grad(energy))(xs),
            np.stack([slope(x) for x in xs]),
            "chain rule",
        ),
        ("prepare", run_step, loss_and_slope, "differences"),
    ]


@dataclass
class Row:
    """One operator's line in the table; ``error`` is relative to the largest element."""

    name: str
    shape: str
    first_seconds: float
    next_seconds: float
    error: float
    reference: str

    def in_bounds(self):
        """Says whether the error is as small as it must be. NaN is not."""
        return self.error <= BOUNDS[self.reference]

    def __str__(self):
        """Formats the line."""
        return (
            f"{self.name:18}{self.shape:16}{1e3 * self.first_seconds:6.0f} ms"
            f"{1e3 * self.next_seconds:7.1f} ms   {self.error:.0e}   "
            f"{BOUNDS[self.reference]:.0e}   {self.reference:12}"
            f"{'' if self.in_bounds() else '  OUT OF BOUNDS'}"
        )


def measure(name, call, wanted, reference):
    """Calls an operator twice; returns its row."""
    times = []
    errors = []
    for _ in range(2):
        start = time.perf_counter()
        got = call()
        times.append(time.perf_counter() - start)
        errors.append(largest_error(got, wanted))
    # The derivative is the last leaf, after the value where there is one.
    shape = "×".join(map(str, np.shape(leaves(got)[-1]))) or "scalar"
    return Row(name, shape, *times, max(errors), reference)


def largest_error(got, wanted):
    """Returns the largest difference, each leaf's relative to its own largest element."""
    pairs = list(zip(leaves(got), leaves(wanted), strict=True))
    if any(np.shape(g) != np.shape(w) for g, w in pairs):
        return math.inf
    errors = [np.max(np.abs(g - w)) / np.max(np.abs(w)) for g, w in pairs]
    return float(np.max(errors))  # NaN, if there is one


def leaves(tree):
    """Returns the arrays of nested tuples, in order."""
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, tuple) else [tree]


def check(score, loss, params, batch, spread):
    """Prints the table of all operators; returns whether every error is within its bound."""
    print("Every operator on the trained network, in float64. The first call traces and compiles,")
    print("or loads what an earlier run compiled; errors are relative to the largest element.\n")
    print("operator          shape           first call      next   error   bound   reference")
    rows = []
    for case in list_cases(score, loss, params, batch, spread):
        rows.append(measure(*case))
        print(rows[-1], flush=True)
    bad = [row.name for row in rows if not row.in_bounds()]
    print(f"out of bounds: {', '.join(bad)}" if bad else f"all {len(rows)} within their bounds")
    plausible = check_estimate(score, params, batch[0][0].astype(np.float64), spread)
    return not bad and plausible


def check_estimate(score, params, x, spread):
    """Estimates a trace from a seed; returns whether it is as near as it says itself."""
    params = {name: p.astype(np.float64) for name, p in params.items()}
    exact = np.trace(product_by_hand(params, x, np.eye(x.size), SIGMA, spread))
    estimate, error, products = gw.trace_estimate(
        lambda x: score(params, x, SIGMA), num_samples=16
    )(x, seed=0)
    print(
        f"\nthe Jacobian's trace from {products} random products: {estimate:.1f} ± {error:.1f}; "
        f"exactly {exact:.1f}\n"
    )
    return bool(abs(estimate - exact) <= 6 * error)
