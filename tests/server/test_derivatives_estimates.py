"""Stochastic traces and diagonals: exact where they must be, and with a right standard error."""

from __future__ import annotations

import numpy as np
import pytest

from running import apply, apply_all, close, run, use
from sketch import Sketch, op, several, total, type_of

rng = np.random.default_rng(3)
A = rng.standard_normal((6, 6))
D = rng.standard_normal(6)
X = rng.standard_normal(6)
SEED = np.uint32(11)


def linear(x):  # type: ignore[no-untyped-def]
    return total(A * x, 1)


def quadratic(x):  # type: ignore[no-untyped-def]
    return 0.5 * total(x * total(A * x, 1), 0)


def diagonal_map(x):  # type: ignore[no-untyped-def]
    return D * x


def diagonal_form(x):  # type: ignore[no-untyped-def]
    return 0.5 * total(D * x * x, 0)


MATRICES = {"jacobian": (linear, A), "hessian": (quadratic, 0.5 * (A + A.T))}
DIAGONALS = {"jacobian": diagonal_map, "hessian": diagonal_form}


@pytest.mark.parametrize("operator", MATRICES)
@pytest.mark.parametrize("num_samples", [6, 7, 1000])
def test_exact_when_the_budget_suffices(operator: str, num_samples: int) -> None:
    """With as many products as inputs the answer is exact and its error 0."""
    write, matrix = MATRICES[operator]
    attrs = {"operator": operator, "num_samples": num_samples, "outputs": 3}
    trace, diagonal = apply_all(
        write, [X], use("trace_estimate", SEED, **attrs), use("diagonal_estimate", SEED, **attrs)
    )
    close(trace[1], np.trace(matrix))
    close(diagonal[1], np.diag(matrix))
    assert trace[2] == 0
    np.testing.assert_array_equal(diagonal[2], np.zeros(6))
    close(trace[0], diagonal[0])


@pytest.mark.parametrize("operator", DIAGONALS)
@pytest.mark.parametrize("num_samples", [1, 3])
def test_rademacher_probes_are_exact_on_diagonal_matrices(operator: str, num_samples: int) -> None:
    """vᵢ² = 1, so every single probe gives the trace and the diagonal."""
    attrs = {"operator": operator, "num_samples": num_samples, "outputs": 3}
    trace, diagonal = apply_all(
        DIAGONALS[operator],
        [X],
        use("trace_estimate", SEED, **attrs),
        use("diagonal_estimate", SEED, **attrs),
    )
    close(trace[1], D.sum())
    close(diagonal[1], D)
    if num_samples == 1:
        assert trace[2] == np.inf
        assert np.isposinf(diagonal[2]).all()
    else:
        close(trace[2], 0, 1e-12)
        close(diagonal[2], np.zeros(6), 1e-12)


@pytest.mark.parametrize("operator", MATRICES)
def test_given_probes(operator: str) -> None:
    """The estimate is the mean of vᵀAv over the probes, and sem its standard error."""
    write, matrix = MATRICES[operator]
    probes = rng.standard_normal((5, 6))
    attrs = {"operator": operator, "num_samples": 5, "probes": True, "outputs": 3}
    trace, diagonal = apply_all(
        write,
        [X],
        use("trace_estimate", probes, **attrs),
        use("diagonal_estimate", probes, **attrs),
    )
    forms = np.einsum("si,ij,sj->s", probes, matrix, probes)
    close(trace[1], forms.mean())
    close(trace[2], forms.std(ddof=1) / np.sqrt(5))
    products = probes * (probes @ matrix.T)
    close(diagonal[1], products.mean(0))
    close(diagonal[2], products.std(0, ddof=1) / np.sqrt(5))


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
@pytest.mark.parametrize("operator", MATRICES)
def test_estimates_are_unbiased_and_sem_is_their_spread(operator: str, distribution: str) -> None:
    """Over 4000 seeds the mean is the truth, and sem what the estimates scatter by."""
    write, matrix = MATRICES[operator]
    attrs = {"operator": operator, "num_samples": 4, "distribution": distribution}
    seeds = np.arange(4000, dtype=np.uint32)
    trace, trace_sem, diagonal, diagonal_sem = _over_seeds(write, seeds, attrs)
    assert len(np.unique(trace)) > 10
    for estimates, errors, truth in (
        (trace, trace_sem, np.trace(matrix)),
        (diagonal, diagonal_sem, np.diag(matrix)),
    ):
        spread = estimates.std(0, ddof=1)
        assert (np.abs(estimates.mean(0) - truth) < 5 * spread / np.sqrt(4000)).all()
        # E[sem²] is the variance of an estimate, whatever the distribution.
        np.testing.assert_allclose((errors**2).mean(0), spread**2, rtol=0.2)


def _over_seeds(write, seeds, attrs):  # type: ignore[no-untyped-def]
    """Estimates for many seeds, by a vmap with the seed mapped."""
    sketch = Sketch()
    f = sketch.add([type_of(X)], write)

    def one(x, seed):  # type: ignore[no-untyped-def]
        trace = several("trace_estimate", x, seed, functions=[f], outputs=3, **attrs)
        diagonal = several("diagonal_estimate", x, seed, functions=[f], outputs=3, **attrs)
        return [*trace[1:], *diagonal[1:]]

    g = sketch.add([type_of(X), type_of(SEED)], one)
    sketch.add(
        [type_of(X), type_of(seeds)],
        lambda x, s: several("vmap", x, s, functions=[g], outputs=4, mapped=(0, 1)),
    )
    return run(sketch, X, seeds)


def test_seeds_decide() -> None:
    """The same seed gives the same bits, another seed other probes, mapped or not."""
    attrs = {"operator": "jacobian", "num_samples": 2}
    seeds = np.array([5, 6, 5], np.uint32)
    traces = _over_seeds(linear, seeds, attrs)[0]
    assert traces[0] == traces[2] != traces[1]
    alone = apply("trace_estimate", linear, [X], np.uint32(5), outputs=3, **attrs)[1]
    close(alone, traces[0])


def test_leaves_have_independent_probes() -> None:
    """Two equal leaves don't share their probes: cross terms average out."""
    x, y = rng.standard_normal(2), rng.standard_normal(2)

    def write(x, y):  # type: ignore[no-untyped-def]
        return [y * 1.0, x * 1.0]  # the trace is 0, but vᵀw isn't

    sketch = Sketch()
    f = sketch.add([type_of(x), type_of(y)], write)

    def one(x, y, seed):  # type: ignore[no-untyped-def]
        return several(
            "trace_estimate",
            x,
            y,
            seed,
            functions=[f],
            outputs=4,
            wrt=(0, 1),
            operator="jacobian",
            num_samples=1,
        )[2]

    g = sketch.add([type_of(x), type_of(y), type_of(SEED)], one)
    seeds = np.arange(500, dtype=np.uint32)
    sketch.add(
        [type_of(x), type_of(y), type_of(seeds)],
        lambda x, y, s: op("vmap", x, y, s, functions=[g], mapped=(0, 0, 1)),
    )
    (estimates,) = run(sketch, x, y, seeds)
    assert set(estimates) == {-4.0, 0.0, 4.0}
    assert abs(estimates.mean()) < 0.6


def test_several_leaves_and_aux() -> None:
    """Outputs are values, estimates by leaf, errors by leaf, aux; wrt keeps its order."""
    x, y = rng.standard_normal(3), rng.standard_normal((2, 2))

    def write(x, y):  # type: ignore[no-untyped-def]
        return [total(x**3, 0) + total(y**4, 0, 1), op("sign", x)]

    for num_samples in (1, 50):
        value, dy, dx, ey, ex, aux = apply(
            "diagonal_estimate",
            write,
            [x, y],
            SEED,
            outputs=6,
            wrt=(1, 0),
            num_aux=1,
            operator="hessian",
            num_samples=num_samples,
        )
        close(value, (x**3).sum() + (y**4).sum())
        close(dy, 12 * y**2)
        close(dx, 6 * x)
        assert ey.shape == y.shape
        assert ex.shape == x.shape
        close(aux, np.sign(x))


@pytest.mark.parametrize("operator", MATRICES)
@pytest.mark.parametrize("num_samples", [3, 100])
def test_gradient_flows_through_estimates_but_not_their_errors(
    operator: str, num_samples: int
) -> None:
    """D tr/dx is the estimate's own derivative; sem is a constant."""
    probes = np.sign(rng.standard_normal((3, 4)))
    exact = num_samples > 4
    c = rng.standard_normal((4, 4))

    def write(x):  # type: ignore[no-untyped-def]
        if operator == "jacobian":
            return total(c * op("sin", x), 1)
        return total(x * x, 0) ** 2

    def trace_of(x, v):  # type: ignore[no-untyped-def]
        if operator == "jacobian":
            return (np.einsum("si,ij,sj->s", v, c * np.cos(x), v)).mean()
        return np.mean(4 * (x @ x) * (v**2).sum(1) + 8 * (v @ x) ** 2)

    sketch = Sketch()
    x = rng.standard_normal(4)
    f = sketch.add([type_of(x)], write)
    attrs = {"operator": operator, "num_samples": num_samples, "probes": not exact}
    last = SEED if exact else probes

    def estimate(x, last):  # type: ignore[no-untyped-def]
        _, trace, error = several("trace_estimate", x, last, functions=[f], outputs=3, **attrs)
        return trace + 1e3 * error

    g = sketch.add([type_of(x), type_of(last)], estimate)
    sketch.add(
        [type_of(x), type_of(last)],
        lambda x, v: several("grad", x, v, functions=[g], outputs=2)[1],
    )
    (gradient,) = run(sketch, x, last)
    used = np.eye(4) * 2 if exact else probes  # mean over 4 of (2eᵢ)ᵀA(2eᵢ) is the trace
    step = 1e-5
    for i, unit in enumerate(np.eye(4)):
        wanted = trace_of(x + step * unit, used) - trace_of(x - step * unit, used)
        np.testing.assert_allclose(gradient[i], wanted / (2 * step), rtol=1e-7, atol=1e-7)


def test_no_input_at_all() -> None:
    """The trace of an empty matrix is 0, its diagonal empty."""
    attrs = {"operator": "jacobian", "num_samples": 1, "outputs": 3}
    trace, diagonal = apply_all(
        lambda x: x * 2.0,
        [np.zeros(0)],
        use("trace_estimate", SEED, **attrs),
        use("diagonal_estimate", SEED, **attrs),
    )
    assert trace[1] == trace[2] == 0
    assert diagonal[1].shape == (0,)


def test_single_precision_and_eager() -> None:
    """Estimates keep the dtype, and the compiler changes nothing."""
    a, x = A.astype(np.float32), X.astype(np.float32)
    attrs = {"operator": "jacobian", "num_samples": 3, "outputs": 3}

    def write(x):  # type: ignore[no-untyped-def]
        return total(a * x, 1)

    compiled = apply("trace_estimate", write, [x], SEED, **attrs)
    eager = apply("trace_estimate", write, [x], SEED, jit=False, **attrs)
    for one, other in zip(compiled, eager, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=1e-5)
