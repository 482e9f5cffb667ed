"""Branches and loops through the client: values as plain Python gives them, and derivatives."""

import warnings

import numpy as np
import pytest

import gradwire as gw

pytestmark = pytest.mark.usefixtures("server")

rng = np.random.default_rng(2)
A = 0.4 * rng.standard_normal((3, 3))
XS = rng.standard_normal((5, 3))


def slope(f, x, h=1e-5):
    """The gradient of a scalar function by central differences."""
    flat = np.ravel(x)
    steps = [h * e.reshape(np.shape(x)) for e in np.eye(flat.size)]
    return np.reshape([(f(x + s) - f(x - s)) / (2 * h) for s in steps], np.shape(x))


def test_cond_takes_one_branch_and_its_derivative():
    """At top level, nested, captured values included."""
    f = lambda x, c: gw.cond(x > 0, lambda x: x * c, lambda x: x**3, x)  # noqa: E731
    assert gw.remote(f)(2.0, 5.0) == 10
    assert gw.remote(f)(-2.0, 5.0) == -8
    assert gw.grad(f)(2.0, 5.0) == 5
    assert gw.grad(f)(-2.0, 5.0) == 12
    assert gw.grad(f, argnums=1)(2.0, 5.0) == 2
    assert gw.cond(True, np.sin, np.cos, 0.0) == 0


def test_cond_results_must_agree():
    """Another tree, shape or dtype is refused with both."""
    with pytest.raises(TypeError, match=r"branch 1.*float64\[3\].*float64\[\]"):
        gw.remote(lambda x: gw.cond(x[0] > 0, lambda: x, lambda: x[0]))(XS[0])
    with pytest.raises(TypeError, match="tree"):
        gw.remote(lambda x: gw.cond(x[0] > 0, lambda: (x, x), lambda: x))(XS[0])


def test_switch_clamps_its_index():
    """Index 7 of three branches is the last."""
    f = lambda i, x: gw.switch(i, [np.sin, np.cos, np.exp], x)  # noqa: E731
    for index, wanted in ((0, np.sin), (1, np.cos), (2, np.exp), (7, np.exp), (-3, np.sin)):
        np.testing.assert_allclose(gw.remote(f)(index, 0.3), wanted(0.3))
    np.testing.assert_allclose(gw.grad(f, argnums=1)(1, 0.3), -np.sin(0.3))


def newton_root(a):
    """sqrt(a) by Newton's iteration until it no longer changes."""
    return gw.while_loop(
        lambda s: np.abs(s[0] ** 2 - a) > 1e-12,
        lambda s: (0.5 * (s[0] + a / s[0]), s[1] + 1),
        (a, 0),
    )[0]


def test_while_loop_runs_until_its_condition_fails():
    """Value and forward derivative: d sqrt(a)/da = 1/(2 sqrt a)."""
    np.testing.assert_allclose(gw.remote(newton_root)(2.0), np.sqrt(2.0))
    _, tangent = gw.jvp(newton_root, (2.0,), (1.0,))
    np.testing.assert_allclose(tangent, 0.5 / np.sqrt(2.0), rtol=1e-6)


def test_reverse_mode_of_an_unbounded_while_loop_is_refused():
    """The message says what to pass, and names the line."""
    with pytest.raises(gw.UnsupportedError, match=r"max_iterations.*test_control.py"):
        gw.grad(newton_root)(2.0)


def test_a_bounded_while_loop_has_a_gradient():
    """With max_iterations reverse mode works, and higher orders."""

    def f(a):
        body = lambda s: 0.5 * (s + a / s)  # noqa: E731
        return gw.while_loop(lambda s: np.abs(s * s - a) > 1e-12, body, a, max_iterations=12)

    np.testing.assert_allclose(gw.grad(f)(2.0), 0.5 / np.sqrt(2.0), rtol=1e-6)


def test_fori_loop_with_fixed_and_with_traced_bounds():
    """Fixed bounds: every mode. Traced bounds: forward."""
    f = lambda x: gw.fori_loop(0, 4, lambda i, v: np.sin(A @ v) + i * x, x)  # noqa: E731

    def plain(x):
        v = x
        for i in range(4):
            v = np.sin(A @ v) + i * x
        return v

    np.testing.assert_allclose(gw.remote(f)(XS[0]), plain(XS[0]))
    gradient = gw.grad(lambda x: np.sum(f(x) ** 2))(XS[0])
    np.testing.assert_allclose(gradient, slope(lambda x: np.sum(plain(x) ** 2), XS[0]), rtol=1e-6)
    power = lambda x, n: gw.fori_loop(0, n, lambda i, v: v * x, 1.0)  # noqa: E731
    np.testing.assert_allclose(gw.remote(power)(1.5, 3), 1.5**3)
    np.testing.assert_allclose(
        gw.jvp(lambda x: power(x, np.int64(3)), (1.5,), (1.0,))[1], 3 * 1.5**2
    )


def test_scan_is_a_recurrence_with_its_gradient():
    """Carry and outputs as a Python loop; gradient by rows, by carry and by a captured matrix."""

    def f(a, carry, xs):
        return gw.scan(lambda c, x: (np.tanh(a @ c) + x, c * x), carry, xs)

    def plain(a, carry, xs):
        ys = []
        for x in xs:
            ys.append(carry * x)
            carry = np.tanh(a @ carry) + x
        return carry, np.array(ys)

    carry, ys = gw.remote(f)(A, XS[0], XS)
    wanted_carry, wanted_ys = plain(A, XS[0], XS)
    np.testing.assert_allclose(carry, wanted_carry)
    np.testing.assert_allclose(ys, wanted_ys)
    total = lambda run: lambda a, c, xs: sum(np.sum(np.sin(v)) for v in run(a, c, xs))  # noqa: E731
    got = gw.grad(total(f), argnums=(0, 1, 2))(A, XS[0], XS)
    np.testing.assert_allclose(got[0], slope(lambda a: total(plain)(a, XS[0], XS), A), rtol=1e-6)
    np.testing.assert_allclose(got[1], slope(lambda c: total(plain)(A, c, XS), XS[0]), rtol=1e-6)
    np.testing.assert_allclose(got[2], slope(lambda x: total(plain)(A, XS[0], x), XS), rtol=1e-6)


def test_scan_in_reverse_without_rows_and_with_a_weak_carry():
    """The options of JAX; a Python number as carry takes the rows' dtype."""
    _, ys = gw.scan(lambda c, x: (c + x, c + x), np.zeros(3), XS, reverse=True)
    np.testing.assert_allclose(ys, np.cumsum(XS[::-1], axis=0)[::-1])
    carry, ys = gw.scan(lambda c, _: (c * 2, c), np.array(1.0), None, length=4)
    assert carry == 16
    np.testing.assert_array_equal(ys, [1, 2, 4, 8])
    total, _ = gw.scan(lambda c, x: (c + np.sum(x), None), 0.0, XS.astype(np.float32))
    assert total.dtype == np.float32
    with pytest.raises(TypeError, match="the state"):
        gw.remote(lambda x: gw.scan(lambda c, x: (np.stack([c, c]), x), x[0], x))(XS[0])
    with pytest.raises(ValueError, match="common leading axis"):
        gw.scan(lambda c, x: (c, x), 0.0, (XS, XS[:2]))


def test_map_and_associative_scan():
    """Row by row, and all prefixes."""
    np.testing.assert_allclose(gw.map(lambda x: np.sum(x**2), XS), np.sum(XS**2, axis=1))
    np.testing.assert_allclose(
        gw.map(lambda x: np.sum(x**2), XS, batch_size=2), np.sum(XS**2, axis=1)
    )
    np.testing.assert_allclose(gw.associative_scan(lambda a, b: a * b, XS), np.cumprod(XS, axis=0))
    np.testing.assert_allclose(
        gw.associative_scan(np.add, XS, reverse=True, axis=1),
        np.cumsum(XS[:, ::-1], axis=1)[:, ::-1],
    )


def test_implicit_functions_are_differentiated_by_their_equations():
    """A root, a fixed point and a linear solve: closed forms of first and second order."""
    root = lambda a: gw.root(lambda x: x**2 - a, np.array(1.0))  # noqa: E731
    np.testing.assert_allclose(gw.remote(root)(2.0), np.sqrt(2.0), rtol=1e-9)
    np.testing.assert_allclose(gw.grad(root)(2.0), 0.5 / np.sqrt(2.0), rtol=1e-8)
    np.testing.assert_allclose(gw.grad(gw.grad(root))(2.0), -0.25 * 2.0**-1.5, rtol=1e-7)
    # x = c cos x: dx/dc = cos x / (1 + c sin x)
    fixed = lambda c: gw.fixed_point(lambda x: c * np.cos(x), np.array(0.5))  # noqa: E731
    x = gw.remote(fixed)(0.8)
    np.testing.assert_allclose(x, 0.8 * np.cos(x), rtol=1e-9)
    np.testing.assert_allclose(gw.grad(fixed)(0.8), np.cos(x) / (1 + 0.8 * np.sin(x)), rtol=1e-7)
    matrix = A + 3 * np.eye(3)
    solve = lambda m, b: gw.linear_solve(  # noqa: E731
        lambda v: m @ v,
        b,
        lambda matvec, b: np.linalg.solve(m, b),
        lambda vecmat, b: np.linalg.solve(m.T, b),
    )
    wanted = np.linalg.solve(matrix, XS[0])
    np.testing.assert_allclose(gw.remote(solve)(matrix, XS[0]), wanted)
    gradient = gw.grad(lambda m: np.sum(solve(m, XS[0])))(matrix)
    # d sum(M⁻¹b)/dM = -(M⁻ᵀ1)(M⁻¹b)ᵀ
    np.testing.assert_allclose(gradient, -np.outer(np.linalg.solve(matrix.T, np.ones(3)), wanted))


@pytest.mark.parametrize(
    ("f", "a", "name"),
    [
        (lambda a: gw.root(lambda y: y**2 + a, np.array(1.5)), 1.0, "root"),
        (lambda a: gw.fixed_point(lambda y: 2.0 * y + a, np.ones(2))[0], 1.0, "fixed_point"),
        (lambda a: gw.fixed_point(lambda y: a - y, np.array(0.5)), 3.0, "fixed_point"),
    ],
    ids=["no root", "diverges", "goes to and fro"],
)
def test_an_equation_without_a_solution_gives_nan_and_a_warning(f, a, name):
    """Value and derivative, both; the warning names the op and its line."""
    with pytest.warns(gw.NonFiniteWarning, match=rf"suspects: .*{name} at .*test_control.py"):
        value, slope = gw.value_and_grad(f)(a)
    assert np.isnan(value)
    assert np.isnan(slope)


def test_samples_with_and_without_a_root():
    """Under vmap each row is decided by itself, in single precision too."""
    root = lambda a: gw.root(lambda y: y**2 - a, a * 0 + np.float32(1.5))  # noqa: E731
    a = np.array([2, -1, 3], np.float32)
    with pytest.warns(gw.NonFiniteWarning):
        value, slope = gw.vmap(gw.value_and_grad(root))(a)
    assert value.dtype == slope.dtype == np.float32
    wanted = np.sqrt([2, np.nan, 3])
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(slope, 0.5 / wanted, rtol=1e-5)


def test_a_double_root_is_found_without_a_warning():
    """By the default tolerance, with the error that rounding allows there."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for at in (0.0, 1.0):
            got = gw.remote(lambda at=at: gw.root(lambda y: (y - at) ** 2, np.array(1.7)))()
            np.testing.assert_allclose(got, at, atol=1e-6)


def test_checkpoint_and_stop_gradient():
    """The first changes no number, the second makes a constant."""
    f = lambda x: np.sum(np.sin(np.exp(np.sin(x))))  # noqa: E731
    np.testing.assert_allclose(gw.grad(gw.checkpoint(f))(XS[0]), gw.grad(f)(XS[0]))
    np.testing.assert_allclose(gw.grad(lambda x: np.sum(gw.stop_gradient(x) * x))(XS[0]), XS[0])


def test_control_under_vmap():
    """Each sample takes its own branch and its own number of turns."""
    f = gw.vmap(lambda x: gw.cond(x > 0, np.sqrt, lambda x: -x, x))
    x = XS[:, 0]
    np.testing.assert_allclose(f(x), np.where(x > 0, np.sqrt(np.abs(x)), -x))
    a = np.array([0.5, 2.0, 9.0])
    np.testing.assert_allclose(gw.vmap(newton_root)(a), np.sqrt(a))
