"""Every operator through the client and a real server, at top level and nested."""

import dataclasses
from collections import namedtuple

import numpy as np
import pytest

import gradwire as gw

pytestmark = pytest.mark.usefixtures("server")

rng = np.random.default_rng(0)
A = rng.standard_normal((4, 4))
W = rng.standard_normal((3, 4))
X = rng.standard_normal(4)
T = rng.standard_normal(4)


def quartic(x):
    """|x|⁴: gradient 4|x|²x, Hessian 4|x|²I + 8xxᵀ, Laplacian 4(d+2)|x|²."""
    return np.sum(x**2) ** 2


def layer(x):
    """tanh(Wx): Jacobian diag(1-tanh²)W."""
    return np.tanh(W @ x)


def quartic_gradient(x):
    return 4 * (x @ x) * x


def quartic_hessian(x):
    return 4 * (x @ x) * np.eye(x.size) + 8 * np.outer(x, x)


def layer_jacobian(x):
    return (1 - np.tanh(W @ x) ** 2)[:, None] * W


CASES = {
    "remote": (lambda x: gw.remote(layer)(x), lambda x: np.tanh(W @ x)),
    "jvp": (lambda x: gw.jvp(layer, (x,), (T,)), lambda x: (np.tanh(W @ x), layer_jacobian(x) @ T)),
    "vjp": (
        lambda x: gw.vjp(layer, (x,), np.ones(3)),
        lambda x: (np.tanh(W @ x), (layer_jacobian(x).sum(0),)),
    ),
    "vjp of the value": (
        lambda x: gw.vjp(layer, (x,), lambda y: 2 * y)[1][0],
        lambda x: 2 * np.tanh(W @ x) @ layer_jacobian(x),
    ),
    "grad": (lambda x: gw.grad(quartic)(x), quartic_gradient),
    "value_and_grad": (
        lambda x: gw.value_and_grad(quartic)(x),
        lambda x: ((x @ x) ** 2, quartic_gradient(x)),
    ),
    "jacobian": (lambda x: gw.jacobian(layer)(x), layer_jacobian),
    "jacobian forward": (lambda x: gw.jacobian(layer, mode="forward")(x), layer_jacobian),
    "jacobian chunked": (
        lambda x: gw.jacobian(layer, mode="reverse", chunk=2)(x),
        layer_jacobian,
    ),
    "batched_jacobian": (
        lambda x: gw.batched_jacobian(lambda X: np.tanh(X @ W.T))(np.stack([x, 2 * x])),
        lambda x: np.stack([layer_jacobian(x), layer_jacobian(2 * x)]),
    ),
    "hessian": (lambda x: gw.hessian(quartic)(x), quartic_hessian),
    "hessian_diagonal": (
        lambda x: gw.hessian_diagonal(quartic)(x),
        lambda x: np.diag(quartic_hessian(x)),
    ),
    "laplacian": (lambda x: gw.laplacian(quartic)(x), lambda x: 4 * 6 * (x @ x)),
    "laplacian with gradient": (
        lambda x: gw.laplacian(quartic, with_grad=True)(x),
        lambda x: ((x @ x) ** 2, quartic_gradient(x), 24 * (x @ x)),
    ),
    "hvp": (
        lambda x: gw.hvp(quartic, (x,), (T,)),
        lambda x: ((x @ x) ** 2, (quartic_hessian(x) @ T,)),
    ),
    "jacobian_trace": (
        lambda x: gw.jacobian_trace(lambda x: np.sin(A @ x))(x),
        lambda x: np.cos(A @ x) @ np.diag(A),
    ),
    "trace_estimate, exact": (
        lambda x: gw.trace_estimate(lambda x: np.sin(A @ x), num_samples=4)(x, seed=1)[0],
        lambda x: np.cos(A @ x) @ np.diag(A),
    ),
    "trace_estimate, probes": (
        lambda x: gw.trace_estimate(quartic, operator="hessian")(x, probes=np.stack([T, X]))[0],
        lambda x: (T @ quartic_hessian(x) @ T + X @ quartic_hessian(x) @ X) / 2,
    ),
    "diagonal_estimate, exact": (
        lambda x: gw.diagonal_estimate(quartic, operator="hessian", num_samples=9)(x, seed=1)[0],
        lambda x: np.diag(quartic_hessian(x)),
    ),
    "vmap": (
        lambda x: gw.vmap(gw.grad(quartic))(np.stack([x, 2 * x, 3 * x])),
        lambda x: np.stack([quartic_gradient(k * x) for k in (1, 2, 3)]),
    ),
}


def assert_close(got, wanted, tolerance=1e-9):
    if isinstance(wanted, tuple):
        assert len(got) == len(wanted)
        for g, w in zip(got, wanted, strict=True):
            assert_close(g, w, tolerance)
    else:
        assert np.shape(got) == np.shape(wanted)
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_an_operator_at_top_level(name):
    """Called on arrays it gives the closed form."""
    call, wanted = CASES[name]
    assert_close(call(X), wanted(X))


@pytest.mark.parametrize("name", CASES)
def test_an_operator_inside_a_traced_function(name):
    """Inside a function that runs remotely it is a node and gives the same."""
    call, wanted = CASES[name]
    assert_close(gw.remote(call)(X), wanted(X))


@pytest.mark.parametrize("name", CASES)
def test_a_derivative_of_an_operator(name):
    """The gradient through it equals finite differences of its closed form."""
    call, wanted = CASES[name]

    def total(x):
        value = call(x)
        leaves = gw_leaves(value)
        return sum(np.sum(np.sin(leaf)) for leaf in leaves)

    def closed(x):
        return sum(np.sum(np.sin(leaf)) for leaf in gw_leaves(wanted(x)))

    h = 1e-5
    numeric = [(closed(X + h * e) - closed(X - h * e)) / (2 * h) for e in np.eye(X.size)]
    np.testing.assert_allclose(gw.grad(total)(X), numeric, rtol=1e-5, atol=1e-6)


def gw_leaves(tree):
    return (
        [leaf for part in tree for leaf in gw_leaves(part)] if isinstance(tree, tuple) else [tree]
    )


def test_third_order():
    """The derivative of a Hessian's trace: Δ|x|⁴ = 24|x|², so its gradient is 48x."""
    np.testing.assert_allclose(
        gw.grad(lambda x: np.trace(gw.hessian(quartic)(x)))(X), 48 * X, rtol=1e-10
    )
    np.testing.assert_allclose(
        gw.grad(lambda x: gw.jvp(gw.grad(quartic), (x,), (T,))[1] @ T)(X),
        8 * (T @ T) * X + 16 * (X @ T) * T,
        rtol=1e-10,
    )


def test_a_loss_that_holds_a_jvp_and_its_parameter_gradient():
    """Sliced score matching of a linear score -Px has the loss's closed-form gradient."""
    P = A @ A.T
    V = np.sign(rng.standard_normal((5, 4)))
    samples = rng.standard_normal((5, 4))

    def sliced(P, x, v):
        s, jv = gw.jvp(lambda x: -P @ x, (x,), (v,))
        return v @ jv + 0.5 * (v @ s) ** 2

    def loss(P, xs, vs):
        return np.mean(gw.vmap(sliced, in_axes=(None, 0, 0))(P, xs, vs))

    value, gradient = gw.value_and_grad(loss)(P, samples, V)
    wanted = np.mean([-v @ P @ v + 0.5 * (v @ P @ x) ** 2 for x, v in zip(samples, V, strict=True)])
    slope = np.mean(
        [-np.outer(v, v) + (v @ P @ x) * np.outer(v, x) for x, v in zip(samples, V, strict=True)],
        axis=0,
    )
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12)


def test_gradients_with_respect_to_tangent_and_cotangent():
    """d(u·Jt)/dt = uᵀJ, and d(uᵀJ·t)/du = Jt."""
    u = rng.standard_normal(3)
    np.testing.assert_allclose(
        gw.grad(lambda t: u @ gw.jvp(layer, (X,), (t,))[1])(T), u @ layer_jacobian(X)
    )
    np.testing.assert_allclose(
        gw.grad(lambda u: gw.vjp(layer, (X,), u)[1][0] @ T)(u), layer_jacobian(X) @ T
    )


@dataclasses.dataclass
class Layer:
    weight: np.ndarray
    bias: np.ndarray


Pair = namedtuple("Pair", "first second")


def test_trees_of_every_kind():
    """Dicts, lists, tuples, named tuples and dataclasses keep their kind and place."""
    params = {"b": [Layer(W, np.ones(3))], "a": Pair(np.array(2.0), (np.array(3.0), None))}

    def f(p, x):
        return np.sum(p["b"][0].weight @ x + p["b"][0].bias) * p["a"].first * p["a"].second[0]

    g = gw.grad(f)(params, X)
    assert isinstance(g["b"][0], Layer)
    assert isinstance(g["a"], Pair)
    assert g["a"].second[1] is None
    total = np.sum(W @ X + 1)
    np.testing.assert_allclose(g["b"][0].weight, 6 * np.outer(np.ones(3), X))
    np.testing.assert_allclose(g["b"][0].bias, np.full(3, 6.0))
    np.testing.assert_allclose(g["a"].first, 3 * total)


def test_result_trees_are_out_tree_of_in_tree():
    """A Jacobian of a dict with respect to two arguments is a dict of pairs."""
    jac = gw.jacobian(lambda x, y: {"s": x * y, "t": x[0]}, argnums=(0, 1))(X, T)
    assert set(jac) == {"s", "t"}
    np.testing.assert_allclose(jac["s"][0], np.diag(T))
    np.testing.assert_allclose(jac["s"][1], np.diag(X))
    np.testing.assert_allclose(jac["t"][0], np.eye(4)[0])
    np.testing.assert_allclose(jac["t"][1], np.zeros(4))


def test_aux_and_value():
    """``has_aux`` and ``with_value`` return what JAX's conventions say."""
    f = lambda x: (quartic(x), {"norm": np.sum(x**2), "n": np.arange(2)})  # noqa: E731
    (value, aux), gradient = gw.value_and_grad(f, has_aux=True)(X)
    np.testing.assert_allclose(value, (X @ X) ** 2)
    np.testing.assert_allclose(aux["norm"], X @ X)
    np.testing.assert_array_equal(aux["n"], [0, 1])
    gradient_alone, aux = gw.grad(f, has_aux=True)(X)
    np.testing.assert_allclose(gradient, gradient_alone)
    value, jac = gw.jacobian(layer, with_value=True)(X)
    np.testing.assert_allclose(value, np.tanh(W @ X))
    np.testing.assert_allclose(jac, layer_jacobian(X))
    value, tangent, aux = gw.jvp(f, (X,), (T,), has_aux=True)
    np.testing.assert_allclose(tangent, quartic_gradient(X) @ T)


def test_an_integer_leaf_under_argnums_names_its_path():
    """It is a TypeError that says which leaf."""
    with pytest.raises(TypeError, match=r"argument 0\['n'\].*int64"):
        gw.grad(lambda p: p["x"] * p["n"])({"x": 1.0, "n": np.array(2)})


def test_an_unused_input_has_zero_derivative():
    """Zeros, in its own shape."""
    np.testing.assert_array_equal(
        gw.grad(lambda x, y: np.sum(x), argnums=1)(X, W), np.zeros((3, 4))
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_are_kept(dtype):
    """Value and derivative have the argument's dtype."""
    value, gradient = gw.value_and_grad(quartic)(X.astype(dtype))
    assert value.dtype == gradient.dtype == dtype
    np.testing.assert_allclose(gradient, quartic_gradient(X), rtol=1e-5)


def test_a_python_scalar_argument_stays_weak():
    """A Python float beside float32 gives float32, as NumPy computes it."""
    f = lambda x, c: np.sum(x * c)  # noqa: E731
    x = X.astype(np.float32)
    assert gw.remote(f)(x, 2.0).dtype == np.float32
    assert gw.grad(f)(x, 2.0).dtype == np.float32


def test_holomorphic_gradient():
    """d/dz z³ = 3z²."""
    z = 1.0 + 2.0j
    np.testing.assert_allclose(gw.grad(lambda z: z**3, holomorphic=True)(z), 3 * z**2)


def test_shapes_of_tangents_are_checked():
    """Message and type name both sides."""
    with pytest.raises(ValueError, match=r"`tangents\[0\]` must match `primals\[0\]` in shape"):
        gw.jvp(layer, (X,), (np.ones(3),))
    with pytest.raises(TypeError, match="float32 and float64"):
        gw.jvp(layer, (X,), (T.astype(np.float32),))
    with pytest.raises(TypeError, match="same tree"):
        gw.jvp(layer, (X,), (T, T))


def test_a_vector_result_has_no_gradient():
    """The message says what to use."""
    with pytest.raises(TypeError, match=r"gw\.jacobian"):
        gw.grad(layer)(X)
