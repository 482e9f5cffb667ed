"""First-order operators against formulas worked out by hand and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from closed_forms import CASES, SCALAR_CASES, SQUARE_CASES, Case
from running import apply, apply_all, close, differences, use
from sketch import op, several, total

rng = np.random.default_rng(1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_formulas_agree_with_finite_differences(case: Case) -> None:
    """The formulas that everything is compared with are themselves right."""
    close(case.jacobian, differences(case.numpy, case.x, 1e-3), 1e-7)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_jacobian(case: Case) -> None:
    """In every mode and with every chunk it is the Jacobian, with the value beside it."""
    size = max(case.x.size, case.value.size)
    answers = apply_all(
        case.write,
        [case.x],
        use("jacobian"),
        use("jacobian", mode="forward"),
        use("jacobian", mode="reverse"),
        use("jacobian", mode="forward", chunk=2),
        use("jacobian", mode="reverse", chunk=2),
        use("jacobian", chunk=size + 1),
    )
    for value, jacobian in answers:
        close(value, case.value)
        close(jacobian, case.jacobian)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_products(case: Case) -> None:
    """J·t and uᵀJ, with the value beside them."""
    t = rng.standard_normal(case.x.shape)
    u = rng.standard_normal(case.value.shape)
    (value, product), (again, pulled) = apply_all(
        case.write, [case.x], use("jvp", t), use("vjp", u)
    )
    close(value, case.value)
    close(again, case.value)
    close(product, np.tensordot(case.jacobian, t, case.x.ndim))
    close(pulled, np.tensordot(u, case.jacobian, u.ndim))


def test_product_from_the_literature() -> None:
    """[x₁, x₁x₃, x₂²] at [3, 4, 5] along [1, 2, 3] is [1, 14, 16]."""
    case = next(case for case in CASES if case.name == "products")
    _, product = apply("jvp", case.write, [[3.0, 4.0, 5.0]], [1.0, 2.0, 3.0])
    close(product, [1, 14, 16])


@pytest.mark.parametrize("case", SCALAR_CASES, ids=lambda case: case.name)
def test_grad(case: Case) -> None:
    """It gives the value and the gradient, shaped like the argument."""
    value, gradient = apply("grad", case.write, [case.x])
    close(value, case.value)
    close(gradient, case.jacobian)


@pytest.mark.parametrize("case", SQUARE_CASES, ids=lambda case: case.name)
def test_jacobian_trace(case: Case) -> None:
    """The trace is the sum of the Jacobian's diagonal, with or without chunks."""
    n = case.x.size
    wanted = np.trace(case.jacobian.reshape(n, n))
    for value, trace in apply_all(
        case.write, [case.x], use("jacobian_trace"), use("jacobian_trace", chunk=2)
    ):
        close(value, case.value)
        close(trace, wanted)
        assert trace.shape == ()


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.name)
def test_jit_and_eager_agree(case: Case) -> None:
    """The compiler changes nothing."""
    uses = [use("jacobian", chunk=3), use("jvp", case.x), use("vjp", np.ones(case.value.shape))]
    compiled = apply_all(case.write, [case.x], *uses)
    eager = apply_all(case.write, [case.x], *uses, jit=False)
    for one, other in zip(compiled, eager, strict=True):
        for a, b in zip(one, other, strict=True):
            close(a, b, 1e-12)


def test_several_leaves_results_aux_and_captures() -> None:
    """Outputs come as values, derivatives by value and leaf, aux; wrt keeps its order."""
    a, b, c = rng.standard_normal(3), rng.standard_normal((2, 3)), rng.standard_normal(3)
    k = np.array([2, 0, 1])

    def write(a, b, k, c):  # type: ignore[no-untyped-def]
        product = total(b * c, 1)
        return [product, op("sin", c) * a, k, a * 2.0]

    # `a` is captured; wrt = (2, 0) is c, then b.
    common = {"num_captures": 1, "wrt": (2, 0), "num_aux": 2}
    t_c, t_b = rng.standard_normal(3), rng.standard_normal((2, 3))
    u, v = rng.standard_normal(2), rng.standard_normal(3)
    jac, fwd, bwd = apply_all(
        write,
        [a, b, k, c],
        use("jacobian", outputs=8, mode="reverse", **common),
        use("jvp", t_c, t_b, outputs=6, **common),
        use("vjp", u, v, outputs=6, **common),
    )
    dc1, db1 = b, np.einsum("ij,k->ijk", np.eye(2), c)
    dc2, db2 = np.diag(np.cos(c) * a), np.zeros((3, 2, 3))
    values, aux = [b @ c, np.sin(c) * a], [k, 2 * a]
    for got, wanted in zip(jac, [*values, dc1, db1, dc2, db2, *aux], strict=True):
        close(got, wanted)
    tangents = [b @ t_c + t_b @ c, np.cos(c) * a * t_c]
    for got, wanted in zip(fwd, [*values, *tangents, *aux], strict=True):
        close(got, wanted)
    cotangents = [b.T @ u + np.cos(c) * a * v, np.outer(u, c)]
    for got, wanted in zip(bwd, [*values, *cotangents, *aux], strict=True):
        close(got, wanted)
    assert jac[6].dtype == k.dtype


def test_unused_inputs_have_zero_derivative() -> None:
    """A leaf that the function never reads gets zeros of its own type."""
    x, y = rng.standard_normal(3), rng.standard_normal((2, 2)).astype(np.float32)
    grad, jac, fwd = apply_all(
        lambda x, y: total(x * x, 0),
        [x, y],
        use("grad", outputs=3, wrt=(0, 1)),
        use("jacobian", outputs=3, wrt=(1, 0), mode="forward"),
        use("jvp", y, wrt=(1,)),
    )
    close(grad[1], 2 * x)
    np.testing.assert_array_equal(grad[2], np.zeros((2, 2)), strict=False)
    assert grad[2].dtype == np.float32
    np.testing.assert_array_equal(jac[1], np.zeros((2, 2)))
    assert fwd[1] == 0


def test_constant_results_have_zero_derivative() -> None:
    """A result that reads no leaf has a zero Jacobian in both modes."""
    x = rng.standard_normal(3)

    def write(x, y):  # type: ignore[no-untyped-def]
        return [y * 2.0, x * 2.0]

    for mode in ("forward", "reverse"):
        _, _, constant, double = apply("jacobian", write, [x, x], outputs=4, mode=mode)
        np.testing.assert_array_equal(constant, np.zeros((3, 3)))
        close(double, 2 * np.eye(3))


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_dtypes_do_not_depend_on_the_mode(mode: str) -> None:
    """A Jacobian has the dtype of its result, whatever the leaf's."""
    x = rng.standard_normal(3)
    single, double = np.dtype(np.float32), np.dtype(np.float64)

    def write(x):  # type: ignore[no-untyped-def]
        return [op("astype", x, dtype=double), op("sin", x)]

    _, _, wide, narrow = apply("jacobian", write, [x.astype(single)], outputs=4, mode=mode)
    assert (wide.dtype, narrow.dtype) == (double, single)
    close(wide, np.eye(3))
    close(narrow, np.diag(np.cos(x)), 1e-6)


@pytest.mark.parametrize("name", ["quartic", "network", "layer"])
def test_single_precision(name: str) -> None:
    """In float32 every answer is float32 and right to its precision."""
    case = next(case for case in CASES if case.name == name)
    x = case.x.astype(np.float32)

    def write(x):  # type: ignore[no-untyped-def]
        # The constants of the case are float64.
        wide = op("astype", x, dtype=np.dtype(np.float64))
        return op("astype", case.write(wide), dtype=np.dtype(np.float32))

    answers = apply_all(
        write, [x], use("jacobian", mode="forward"), use("jacobian", mode="reverse")
    )
    for value, jacobian in answers:
        assert value.dtype == jacobian.dtype == np.float32
        close(jacobian, case.jacobian, 2e-5)


class TestComplex:
    """Complex numbers follow JAX's conventions."""

    z = np.array([1.0 + 2.0j, -0.5 + 0.3j])

    def test_holomorphic_jacobian(self) -> None:
        """Of a holomorphic function both modes give the complex derivative."""
        forward, reverse = apply_all(
            lambda z: op("exp", z) * z,
            [self.z],
            use("jacobian", holomorphic=True, mode="forward"),
            use("jacobian", holomorphic=True, mode="reverse", chunk=1),
        )
        wanted = np.diag(np.exp(self.z) * (1 + self.z))
        close(forward[1], wanted)
        close(reverse[1], wanted)

    def test_holomorphic_gradient(self) -> None:
        """The gradient of Σz³ is 3z²."""
        _, gradient = apply("grad", lambda z: total(z**3, 0), [self.z], holomorphic=True)
        close(gradient, 3 * self.z**2)

    def test_gradient_of_a_real_function(self) -> None:
        """The gradient of |z|² is ∂x − i∂y, so 2z̄."""

        def write(z):  # type: ignore[no-untyped-def]
            return total(op("real", z * op("conj", z)), 0)

        (_, gradient), (_, jacobian) = apply_all(
            write, [self.z], use("grad"), use("jacobian", mode="auto")
        )
        close(gradient, 2 * self.z.conj())
        close(jacobian, 2 * self.z.conj())

    @pytest.mark.parametrize("mode", ["forward", "reverse"])
    def test_complex_function_of_real_numbers(self, mode: str) -> None:
        """Reverse sweeps take real and imaginary parts apart and put them together."""
        x = rng.standard_normal(3)
        a = rng.standard_normal((2, 3)) + 1j * rng.standard_normal((2, 3))
        wide = np.dtype(np.complex128)

        def write(x):  # type: ignore[no-untyped-def]
            z = op("exp", total(a * op("astype", x, dtype=wide), 1))
            return [z, op("sin", x)]

        _, _, jacobian, real = apply("jacobian", write, [x], outputs=4, mode=mode, chunk=2)
        close(jacobian, np.exp(a @ x)[:, None] * a)
        close(real, np.diag(np.cos(x)))
        assert real.dtype == np.float64

    def test_complex_products(self) -> None:
        """J·t is linear in a complex tangent, and uᵀJ has no conjugate."""
        t = np.array([0.3 - 1j, 2.0 + 0.1j])
        (_, product), (_, pulled) = apply_all(
            lambda z: z**3, [self.z], use("jvp", t), use("vjp", t)
        )
        close(product, 3 * self.z**2 * t)
        close(pulled, 3 * self.z**2 * t)


def test_trace_over_several_leaves() -> None:
    """Pairs of leaves and results add up, and only their own blocks count."""
    x, y = rng.standard_normal(3), rng.standard_normal((2, 2))

    def write(x, y):  # type: ignore[no-untyped-def]
        s = total(x, 0) + total(y, 0, 1)
        return [op("sin", x) * s, y * s]

    s = x.sum() + y.sum()
    wanted = (np.cos(x) * s + np.sin(x)).sum() + (s + y).sum()
    for chunk in (0, 1, 3, 7):
        *_, trace = apply("jacobian_trace", write, [x, y], outputs=3, wrt=(0, 1), chunk=chunk)
        close(trace, wanted)


def test_trace_ignores_infinities_off_the_diagonal() -> None:
    """One infinite entry elsewhere in a column doesn't make NaN of the trace."""
    x = np.array([0.0, 2.0])

    def write(x):  # type: ignore[no-untyped-def]
        first = total(np.array([1e200, 0.0]) * x, 0)
        return x * 3.0 + np.array([0.0, 1e200]) * first

    _, trace = apply("jacobian_trace", write, [x])
    close(trace, 6)


def test_slogdet_sign_as_aux() -> None:
    """A result beside the value may be of any kind when it is aux."""
    a = np.array([[2.0, 1.0], [0.5, -3.0]])

    def write(a):  # type: ignore[no-untyped-def]
        sign, logdet = several("linalg.slogdet", a, outputs=2)
        return [logdet, sign, op("isfinite", a)]

    value, gradient, sign, finite = apply("grad", write, [a], outputs=4, num_aux=2)
    close(value, np.log(6.5))
    close(gradient, np.linalg.inv(a).T)
    assert sign == -1
    assert finite.all()
