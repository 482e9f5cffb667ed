"""Functions with a derivative of their own, through the client."""

import numpy as np
import pytest

import gradwire as gw

pytestmark = pytest.mark.usefixtures("server")

X = np.array([0.3, -0.7, 1.2])


@gw.custom_jvp
def softplus(x):
    """log(1 + exp x), stable."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@softplus.defjvp
def softplus_rule(primals, tangents):
    (x,), (t,) = primals, tangents
    return softplus(x), t / (1 + np.exp(-x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_a_jvp_rule_serves_both_modes_and_every_order():
    """Derivatives of softplus are sigmoid, σ(1-σ), σ(1-σ)(1-2σ)."""
    s = sigmoid(X)
    np.testing.assert_allclose(softplus(X), np.log1p(np.exp(X)))
    np.testing.assert_allclose(gw.jvp(softplus, (X,), (np.ones(3),))[1], s)
    total = lambda x: np.sum(softplus(x))  # noqa: E731
    np.testing.assert_allclose(gw.grad(total)(X), s)
    np.testing.assert_allclose(gw.hessian_diagonal(total)(X), s * (1 - s))
    third = gw.grad(lambda x: np.sum(gw.hessian_diagonal(total)(x)))(X)
    np.testing.assert_allclose(third, s * (1 - s) * (1 - 2 * s))
    np.testing.assert_allclose(gw.vmap(gw.grad(softplus))(X), s)


@gw.custom_jvp
def wrong_sine(x):
    return np.sin(x)


@wrong_sine.defjvp
def wrong_rule(primals, tangents):
    return np.sin(primals[0]), 7.0 * tangents[0]


def test_the_rule_is_what_counts():
    """A rule that isn't the true derivative is followed, nested and batched too."""
    assert gw.grad(wrong_sine)(0.3) == 7
    np.testing.assert_allclose(gw.vmap(gw.grad(lambda x: wrong_sine(x) * 2))(X), [14, 14, 14])
    assert gw.grad(lambda x: gw.jvp(wrong_sine, (x,), (x,))[1])(0.3) == 7


@gw.custom_jvp
def sine(x):
    return np.sin(x)


@gw.custom_jvp
def cosine(x):
    return np.cos(x)


@sine.defjvp
def sine_rule(primals, tangents):
    return sine(primals[0]), cosine(primals[0]) * tangents[0]


@cosine.defjvp
def cosine_rule(primals, tangents):
    return cosine(primals[0]), -sine(primals[0]) * tangents[0]


def test_two_functions_whose_rules_call_each_other():
    """The fourth derivative of sin is sin."""
    f = sine
    for _ in range(4):
        f = gw.grad(f)
    np.testing.assert_allclose(f(0.3), np.sin(0.3))


@gw.custom_vjp
def clipped(x, bound):
    """The identity, whose gradient is clipped."""
    return x * 1.0


def clipped_forward(x, bound):
    return clipped(x, bound), (bound, None)


def clipped_backward(residuals, cotangent):
    bound, _ = residuals
    return np.clip(cotangent, -bound, bound), None


clipped.defvjp(clipped_forward, clipped_backward)


def test_a_vjp_rule_serves_reverse_mode():
    """The gradient is clipped; None is zero."""
    f = lambda x, b: np.sum(5 * clipped(x, b))  # noqa: E731
    np.testing.assert_allclose(gw.grad(f, argnums=(0, 1))(X, 2.0)[0], [2, 2, 2])
    assert gw.grad(f, argnums=1)(X, 2.0) == 0
    np.testing.assert_allclose(gw.remote(f)(X, 2.0), 5 * X.sum())


def test_a_vjp_rule_refuses_forward_mode():
    """The message says what to use instead."""
    with pytest.raises(gw.UnsupportedError, match="custom_jvp"):
        gw.jvp(lambda x: clipped(x, 2.0), (X,), (X,))


def test_a_rule_must_not_capture_traced_values():
    """TraceError: pass it as an argument."""

    def outer(scale):
        f = gw.custom_jvp(lambda x: x * scale)
        f.defjvp(lambda primals, tangents: (f(*primals), tangents[0]))
        return f(scale)

    with pytest.raises(gw.TraceError, match=r"pass it as an argument.*test_custom_rules.py"):
        gw.grad(outer)(2.0)


def test_a_captured_array_is_a_constant_of_the_function():
    """Arrays that are no traced values may be captured."""
    w = np.array([1.0, 2.0, 3.0])
    f = gw.custom_jvp(lambda x: np.sum(w * x))
    f.defjvp(lambda primals, tangents: (f(*primals), np.sum(w * tangents[0]) * 2))
    np.testing.assert_allclose(gw.grad(f)(X), 2 * w)


def test_a_function_without_its_rule_is_refused():
    """The message says what is missing."""
    with pytest.raises(TypeError, match=r"no rule yet.*defjvp"):
        gw.custom_jvp(lambda x: x)(X)
