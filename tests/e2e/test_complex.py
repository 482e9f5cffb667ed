"""Complex numbers end to end, in JAX's convention, and matrices at the edge of their domain."""

import numpy as np
import pytest

import gradwire as gw

pytestmark = pytest.mark.usefixtures("server")

rng = np.random.default_rng(4)
Z = rng.standard_normal(3) + 1j * rng.standard_normal(3)
M = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))


def convention(f, z, h=1e-6):
    """∂f/∂Re − i ∂f/∂Im of a real function, by central differences."""
    steps = h * np.eye(z.size)
    return np.array(
        [
            (f(z + s) - f(z - s)) / (2 * h) - 1j * (f(z + 1j * s) - f(z - 1j * s)) / (2 * h)
            for s in steps
        ]
    )


@pytest.mark.parametrize(
    "loss",
    [
        lambda z: np.sum(np.abs(z) ** 2),
        lambda z: np.real(np.sum(np.exp(M @ z) * np.conj(z))),
        lambda z: np.abs(np.sum(z**3)),
        lambda z: np.sum(np.abs(np.fft.fft(z)) ** 4),
        lambda z: np.log(np.real(np.vdot(z, z))),
    ],
)
def test_real_losses_of_complex_arguments(loss):
    """No flag is needed: the gradient is ∂/∂Re − i ∂/∂Im."""
    np.testing.assert_allclose(gw.grad(loss)(Z), convention(loss, Z), rtol=1e-6, atol=1e-6)


def test_a_real_argument_through_complex_intermediates():
    """The gradient is real: of |Σ exp(iMx)|² by differences."""
    x = Z.real

    def loss(x):
        return np.abs(np.sum(np.exp(1j * (M @ x)))) ** 2

    got = gw.grad(loss)(x)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, convention(loss, x.astype(complex)).real, rtol=1e-6)


def test_holomorphic_functions():
    """Gradient, Jacobian and jvp are the complex derivative."""
    np.testing.assert_allclose(
        gw.grad(lambda z: np.sum(z**3), holomorphic=True)(Z), 3 * Z**2, rtol=1e-12
    )
    jacobian = gw.jacobian(lambda z: np.sin(M @ z), holomorphic=True)(Z)
    np.testing.assert_allclose(jacobian, np.cos(M @ Z)[:, None] * M, rtol=1e-12)
    _, tangent = gw.jvp(lambda z: np.sin(M @ z), (Z,), (1j * Z,))
    np.testing.assert_allclose(tangent, jacobian @ (1j * Z), rtol=1e-12)


def test_a_complex_result_without_the_flag_is_refused():
    """The message names the flag."""
    with pytest.raises(gw.GradwireError, match="holomorphic"):
        gw.grad(lambda z: np.sum(z**3))(Z)


def test_a_jacobian_from_real_to_complex():
    """Forward as it is, reverse by stacking: d exp(iwx)/dx."""
    x = Z.real
    wanted = np.exp(1j * (M @ x))[:, None] * 1j * M
    for mode in ("forward", "reverse"):
        got = gw.jacobian(lambda x: np.exp(1j * (M @ x)), mode=mode)(x)
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_complex64_stays_complex64():
    """Values and derivatives keep the width."""
    z = Z.astype(np.complex64)
    value, gradient = gw.value_and_grad(lambda z: np.sum(np.abs(z) ** 2))(z)
    assert (value.dtype, gradient.dtype) == (np.float32, np.complex64)


def test_a_matrix_that_is_not_positive_definite_is_warned_about():
    """NaN, and a warning that names the op and the line."""
    with pytest.warns(gw.NonFiniteWarning, match=r"cholesky.*test_complex.py"):
        factor = gw.remote(np.linalg.cholesky)(-np.eye(2))
    assert np.isnan(factor).any()


def test_a_degenerate_spectrum_is_warned_about():
    """The eigenvectors of the identity have no derivative; its eigenvalues' sum has.

    The warning names the ops that do without them.
    """
    with pytest.warns(gw.NonFiniteWarning, match=r"eigh .*test_complex.py.*sqrtm, logm, expm"):
        gw.grad(lambda a: np.linalg.eigh(a)[1][0, 0])(np.eye(3))
    np.testing.assert_allclose(
        gw.grad(lambda a: np.sum(np.linalg.eigvalsh(a)))(np.eye(3)), np.eye(3), atol=1e-12
    )


def test_the_norm_has_a_gradient_at_zero():
    """Zero, and so has every derivative that follows."""
    np.testing.assert_array_equal(gw.grad(np.linalg.norm)(np.zeros(3)), np.zeros(3))
