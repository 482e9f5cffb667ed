"""Several derivatives of one function in one program share what they have in common.

Shown by the compiler's own count of floating-point operations, not by time.
"""

import numpy as np
import pytest

import gradwire as gw

pytestmark = pytest.mark.usefixtures("server")

rng = np.random.default_rng(3)
N = 64
W1, W2 = rng.standard_normal((2, N, N)) / 8
X = rng.standard_normal((32, N))
T = rng.standard_normal((32, N))


def network(x):
    """Two products of 32·64·64 each: nearly all its operations."""
    return np.tanh(np.tanh(x @ W1) @ W2)


def loss(x):
    return np.sum(network(x) ** 2)


def flops(function, *args):
    return gw.prepare(function, *args).plan.flops


def test_derivatives_returned_together_compute_the_primal_once():
    """All of them in one program cost less than alone, by a primal for each but the first."""
    parts = [
        gw.remote(loss),
        gw.grad(loss),
        lambda x: gw.jvp(loss, (x,), (T,))[1],
        lambda x: gw.hvp(loss, (x,), (T,))[1],
        lambda x: gw.vjp(network, (x,), T)[1],
    ]
    alone = [flops(part, X) for part in parts]
    together = flops(lambda x: [part(x) for part in parts], X)
    primal = alone[0]
    assert primal > 2 * 2 * 32 * N * N
    assert together < sum(alone) - 0.9 * (len(parts) - 1) * primal


def test_many_tangents_share_the_linearisation():
    """Eight directions at one point cost eight linear passes and one primal."""
    many = rng.standard_normal((8, 32, N))
    one = flops(lambda x, t: gw.jvp(network, (x,), (t,))[1], X, T)
    primal = flops(gw.remote(network), X)

    def along(x, ts):
        return gw.vmap(lambda t: gw.jvp(network, (x,), (t,))[1])(ts)

    assert flops(along, X, many) < 8 * (one - primal) + 1.2 * primal
    products = gw.remote(along)(X, many)
    for t, product in zip(many, products, strict=True):
        np.testing.assert_allclose(product, gw.jvp(network, (X,), (t,))[1], rtol=1e-10, atol=1e-12)


def test_many_cotangents_share_the_linearisation():
    """The same for reverse mode."""
    many = rng.standard_normal((8, 32, N))
    one = flops(lambda x, u: gw.vjp(network, (x,), u)[1][0], X, T)
    primal = flops(gw.remote(network), X)

    def along(x, us):
        return gw.vmap(lambda u: gw.vjp(network, (x,), u)[1][0])(us)

    assert flops(along, X, many) < 8 * (one - primal) + 1.2 * primal


def test_value_with_every_derivative_costs_no_second_primal():
    """``with_value`` adds nothing to a Jacobian, a Hessian's diagonal or a Laplacian."""
    small = lambda x: np.sum(np.tanh(x @ W1[:4, :8]) ** 2)  # noqa: E731
    x = X[0, :4]
    for operator in (gw.jacobian, gw.hessian, gw.hessian_diagonal, gw.laplacian):
        value, derivative = operator(small, with_value=True)(x)
        np.testing.assert_allclose(value, small(x))
        np.testing.assert_allclose(derivative, operator(small)(x))
        with_value = flops(operator(small, with_value=True), x)
        assert with_value <= flops(operator(small), x) + flops(gw.remote(small), x)


def test_jacobians_with_respect_to_one_leaf_of_a_tree():
    """The others are closed over; the answer is that leaf's part of the whole."""
    params = {"w": W1[:3, :4], "b": [W2[0, :4], W2[1, :4]]}

    def f(p, x):
        return np.tanh(x @ p["w"] + p["b"][0]) * p["b"][1]

    x = X[0, :3]
    whole = gw.jacobian(f)(params, x)
    leaf = gw.jacobian(lambda b: f({"w": params["w"], "b": [b, params["b"][1]]}, x))
    np.testing.assert_allclose(leaf(params["b"][0]), whole["b"][0])
    wanted = np.diag((1 - np.tanh(x @ params["w"] + params["b"][0]) ** 2) * params["b"][1])
    np.testing.assert_allclose(whole["b"][0], wanted)
