"""Second-order operators against formulas worked out by hand and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from closed_forms import CASES, SCALAR_CASES, Case
from running import apply, apply_all, close, differences, use
from sketch import op, total

rng = np.random.default_rng(2)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_formulas_agree_with_finite_differences(case: Case) -> None:
    """The formulas that everything is compared with are themselves right."""

    def jacobian(x: np.ndarray) -> np.ndarray:
        return differences(case.numpy, x, 4e-3)

    close(case.hessian, differences(jacobian, case.x, 4e-3), 3e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_second_derivatives(case: Case) -> None:
    """Hessian, its diagonal and its trace, at once and in chunks, with values and gradients."""
    whole, parts, diagonal, chunks, laplacian, summed, both, both_chunks = apply_all(
        case.write,
        [case.x],
        use("hessian"),
        use("hessian", chunk=2),
        use("hessian_diagonal"),
        use("hessian_diagonal", chunk=2),
        use("laplacian"),
        use("laplacian", chunk=2),
        use("laplacian", with_grad=True, outputs=3),
        use("laplacian", with_grad=True, chunk=2, outputs=3),
    )
    for value, hessian in (whole, parts):
        close(value, case.value)
        close(hessian, case.hessian)
    for value, second in (diagonal, chunks):
        close(value, case.value)
        close(second, case.hessian_diagonal)
    for value, second in (laplacian, summed):
        close(value, case.value)
        close(second, case.laplacian)
    for value, gradient, second in (both, both_chunks):
        close(value, case.value)
        close(gradient, case.jacobian)
        close(second, case.laplacian)


@pytest.mark.parametrize("case", SCALAR_CASES, ids=lambda case: case.name)
def test_hvp(case: Case) -> None:
    """It gives the value and H·t."""
    t = rng.standard_normal(case.x.shape)
    value, product = apply("hvp", case.write, [case.x], t)
    close(value, case.value)
    close(product, np.tensordot(case.hessian, t, case.x.ndim))


def test_known_laplacians() -> None:
    """Δ|x|⁴ = 4(d + 2)|x|², Δe^{−r} = (1 − 2/r)e^{−r}, Δ Re(x + iy)⁵ = 0."""
    by_name = {case.name: case for case in CASES}
    x = np.array([1.0, 2.0, 2.0])
    (_, quartic), (_, again) = apply_all(
        by_name["quartic"].write, [x], use("laplacian"), use("laplacian", chunk=2)
    )
    close([quartic, again], 4 * (3 + 2) * 9)
    _, radial = apply("laplacian", by_name["exponential of the radius"].write, [x])
    close(radial, (1 - 2 / 3) * np.exp(-3))
    _, harmonic = apply("laplacian", by_name["harmonic polynomial"].write, [[1.2, -0.7]])
    close(harmonic, 0, 1e-10)


@pytest.mark.parametrize("name", ["quartic", "products"])
def test_jit_and_eager_agree(name: str) -> None:
    """The compiler changes nothing."""
    case = next(case for case in CASES if case.name == name)
    uses = [use("hessian"), use("laplacian", chunk=2)]
    compiled = apply_all(case.write, [case.x], *uses)
    eager = apply_all(case.write, [case.x], *uses, jit=False)
    for one, other in zip(compiled, eager, strict=True):
        for a, b in zip(one, other, strict=True):
            close(a, b, 1e-12)


def test_hessian_of_two_leaves() -> None:
    """Outputs are values, then per value each pair of leaves, mixed blocks included, then aux."""
    x, y = rng.standard_normal(3), rng.standard_normal(2)
    a = rng.standard_normal((3, 2))

    def write(x, y):  # type: ignore[no-untyped-def]
        form = total(x * total(a * y, 1), 0)
        return [form, op("sin", y), x]

    value, vector, xx, xy, yx, yy, vxx, vxy, vyx, vyy, aux = apply(
        "hessian", write, [x, y], outputs=11, wrt=(0, 1), num_aux=1
    )
    close(value, x @ a @ y)
    close(vector, np.sin(y))
    for block, wanted in ((xx, np.zeros((3, 3))), (xy, a), (yx, a.T), (yy, np.zeros((2, 2)))):
        close(block, wanted)
    close(vxx, np.zeros((2, 3, 3)))
    close(vxy, np.zeros((2, 3, 2)))
    close(vyx, np.zeros((2, 2, 3)))
    close(vyy, np.einsum("i,ij,ik->ijk", -np.sin(y), np.eye(2), np.eye(2)))
    close(aux, x)


def test_laplacian_sums_over_all_leaves() -> None:
    """Several leaves make one Laplacian for each value; gradients stay apart."""
    x, y = rng.standard_normal(3), rng.standard_normal((2, 2))

    def write(x, y):  # type: ignore[no-untyped-def]
        return [total(x * x, 0) * total(y * y, 0, 1), op("sin", x)]

    xx, yy = (x**2).sum(), (y**2).sum()
    for chunk in (0, 3):
        value, vector, gx, gy, jx, jy, first, second = apply(
            "laplacian", write, [x, y], outputs=8, wrt=(0, 1), with_grad=True, chunk=chunk
        )
        close(value, xx * yy)
        close(vector, np.sin(x))
        close(gx, 2 * x * yy)
        close(gy, 2 * y * xx)
        close(jx, np.diag(np.cos(x)))
        close(jy, np.zeros((3, 2, 2)))
        close(first, 6 * yy + 8 * xx)
        close(second, -np.sin(x))


def test_integer_leaves_and_unused_inputs() -> None:
    """Integers may stand beside the leaves; what isn't read has zero second derivatives."""
    x, y, k = rng.standard_normal(3), rng.standard_normal(2), np.array([1, 0, 2])
    double = np.dtype(np.float64)

    def write(x, y, k):  # type: ignore[no-untyped-def]
        return total(op("astype", k, dtype=double) * x**3, 0)

    hessian, diagonal, product = apply_all(
        write,
        [x, y, k],
        use("hessian", wrt=(0, 1), outputs=5),
        use("hessian_diagonal", wrt=(1, 0), outputs=3),
        use("hvp", np.ones(2), wrt=(1,)),
    )
    close(hessian[1], np.diag(6 * k * x))
    for block in (*hessian[2:], diagonal[1], product[1]):
        np.testing.assert_array_equal(block, np.zeros(block.shape))
    close(diagonal[2], 6 * k * x)


def test_complex_values_of_real_leaves() -> None:
    """Second derivatives of a complex function of real numbers are complex."""
    x = rng.standard_normal(2)
    a = np.array([1.0 + 2j, -0.5j])
    wide = np.dtype(np.complex128)

    def write(x):  # type: ignore[no-untyped-def]
        return op("exp", total(a * op("astype", x, dtype=wide), 0))

    hessian, diagonal, laplacian = apply_all(
        write, [x], use("hessian"), use("hessian_diagonal"), use("laplacian")
    )
    close(hessian[1], np.exp(a @ x) * np.outer(a, a))
    close(diagonal[1], np.exp(a @ x) * a**2)
    close(laplacian[1], np.exp(a @ x) * (a**2).sum())


@pytest.mark.parametrize("name", ["quartic", "network"])
def test_single_precision(name: str) -> None:
    """In float32 second derivatives are float32 and right to its precision."""
    case = next(case for case in CASES if case.name == name)
    single, double = np.dtype(np.float32), np.dtype(np.float64)

    def write(x):  # type: ignore[no-untyped-def]
        return op("astype", case.write(op("astype", x, dtype=double)), dtype=single)

    hessian, laplacian = apply_all(
        write, [case.x.astype(single)], use("hessian"), use("laplacian", chunk=2)
    )
    assert hessian[1].dtype == laplacian[1].dtype == single
    close(hessian[1], case.hessian, 1e-4)
    close(laplacian[1], case.laplacian, 1e-4)
