"""What linear algebra makes of matrices that are no numbers, in a batch with others."""

from __future__ import annotations

import faulthandler
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conformance.harness import cases_of_table
from gradwire.ir.binding import bind_attrs
from gradwire.opset import OPS
from gradwire.opset.core import Call, Derivatives
from gradwire.tensors import Array
from gradwire_server.compiler.lowering import LOWERINGS
from gradwire_server.compiler.lowering.linalg.guard import COLUMNS, GUARDED, VECTOR
from haste import UNOPTIMISED
from programs import vector

ELEMENTARY = {
    "linalg.block_diag",
    "linalg.diagonal",
    "linalg.matrix_norm",
    "linalg.matrix_power",
    "linalg.toeplitz",
    "linalg.trace",
    "linalg.vector_norm",
}
"""Sums, products and copies: what isn't finite goes where it goes in NumPy."""

BAD = (np.nan, np.inf, -np.inf)
SHORT = ("linalg.eigh", "linalg.lstsq", "linalg.solve", "linalg.svd")
"""Ops that are tested in a short run, too."""

PARTLY_READ = (
    "linalg.cho_solve",
    "linalg.cholesky",
    "linalg.eigh",
    "linalg.eigvalsh",
    "linalg.lu",  # the permutation has no derivative
    "linalg.solve_triangular",
    "linalg.tridiagonal_solve",
)


@pytest.fixture(autouse=True)
def _end_what_hangs() -> Iterator[None]:
    """Ends the process with a traceback: nothing else stops LAPACK."""
    faulthandler.dump_traceback_later(300, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def test_every_op_is_guarded_or_elementary() -> None:
    """A new op of linear algebra must be put on one side."""
    names = {name for name in OPS if name.startswith("linalg.")}
    assert set(GUARDED) | ELEMENTARY == names
    assert not set(GUARDED) & ELEMENTARY


def _batches(name: str) -> tuple[list[Array], list[Array], Mapping[str, Any]]:
    """A batch of equal good samples; one with but the first spoilt, in each operand by turns."""
    case = next(case for case in cases_of_table() if case.op == name)
    samples = []
    for x, operand in zip(case.inputs(np.dtype("float64")), GUARDED[name], strict=True):
        core = min(x.ndim, 1 if operand.kind == VECTOR else 2)
        samples.append(x.reshape(-1, *x.shape[x.ndim - core :])[0])
    rows = 1 + len(BAD) * len(samples)
    good = [np.repeat(x[None], rows, 0) for x in samples]
    bad = [x.copy() for x in good]
    for i, (x, operand) in enumerate(zip(bad, GUARDED[name], strict=True)):
        # The middle of the diagonal is read by all; of a right-hand side, a row.
        middle = x.shape[1] // 2
        place = (middle,) if x.ndim == 2 or operand.kind == COLUMNS else (middle, middle)
        for row, value in enumerate(BAD, 1 + len(BAD) * i):
            x[(row, *place)] = value
    return good, bad, bind_attrs(OPS[name], case.attrs_for(np.dtype("float64")))


def _function(name: str, attrs: Mapping[str, Any]) -> Callable[..., list[Any]]:
    return jax.vmap(lambda *x: jax.tree.leaves(LOWERINGS[name](*x, **attrs)))


def _check(
    run: Callable[..., list[Any]], good: list[Array], bad: list[Array], *, unread: bool = False
) -> None:
    """Of what is not read a derivative may be 0."""
    for alone, among in zip(run(*good), run(*bad), strict=True):
        assert np.isfinite(alone).all()
        np.testing.assert_array_equal(among[0], alone[0])
        assert (np.isnan(among[1:]) | (unread & (np.asarray(alone[1:]) == 0))).all()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in SHORT else pytest.mark.long)
        for name in sorted(GUARDED)
    ],
)
def test_a_bad_sample_gives_nan_and_leaves_the_others(name: str) -> None:
    """NaN or an infinity in any operand: NaN in all of its results, at once, and in no other's."""
    good, bad, attrs = _batches(name)
    _check(jax.jit(_function(name, attrs), compiler_options=UNOPTIMISED), good, bad)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in SHORT else pytest.mark.long)
        for name in sorted(GUARDED)
        if OPS[name].derivatives is not Derivatives.NONE
    ],
)
def test_derivatives_of_a_bad_sample_are_nan(name: str) -> None:
    """Forward and in reverse, with respect to every operand, and in no other sample."""
    good, bad, attrs = _batches(name)
    function = _function(name, attrs)

    def both(*x: Any) -> list[Any]:
        _, forward = jax.jvp(function, x, tuple(jnp.ones_like(v) for v in x))
        values, pull = jax.vjp(function, *x)
        return [*forward, *pull([jnp.ones_like(v) for v in values])]

    _check(jax.jit(both), good, bad, unread=name in PARTLY_READ)


@pytest.mark.long
def test_second_derivatives_of_a_bad_sample_are_nan() -> None:
    """Both ways, through a solver and a spectrum."""
    good, bad, _ = _batches("linalg.inv")

    def loss(x: Any) -> Any:
        inverse = LOWERINGS["linalg.inv"](x)
        return jnp.sum(LOWERINGS["linalg.svdvals"](x)) + jnp.sum(inverse * inverse)

    for order in (jax.jacfwd(jax.grad(loss)), jax.jacrev(jax.jacfwd(loss))):
        _check(jax.jit(lambda x, f=order: [jax.vmap(f)(x)]), good, bad)


def test_a_bad_column_leaves_the_others() -> None:
    """Each right-hand side stands for itself, as in NumPy; so do its derivatives."""
    a, b = np.diag([1.0, 2, 4]), np.ones((3, 4))
    b[1, 2] = np.inf

    def solve(b: Any) -> Any:
        return LOWERINGS["linalg.solve"](a, b)

    wanted = np.repeat([[1.0], [0.5], [0.25]], 4, 1)
    wanted[:, 2] = np.nan
    np.testing.assert_array_equal(solve(b), wanted)
    np.testing.assert_array_equal(jax.grad(lambda b: jnp.sum(solve(b)))(b), wanted)


@pytest.mark.parametrize("name", ["linalg.solve_triangular", "linalg.cho_solve"])
def test_the_triangle_that_is_not_read_may_hold_anything(name: str) -> None:
    """Also what is no number."""
    a = np.array([[2.0, np.inf], [0, 2]])
    attrs = {} if name == "linalg.cho_solve" else {"trans": 0, "unit_diagonal": False}
    got = LOWERINGS[name](a, np.ones(2), lower=True, **attrs)
    np.testing.assert_array_equal(got, [0.25, 0.25] if name == "linalg.cho_solve" else [0.5, 0.5])


@pytest.mark.parametrize("name", ["cholesky", "eigh", "eigvalsh"])
def test_the_triangle_that_numpy_does_not_read_may_hold_anything(name: str) -> None:
    """The upper one of a Hermitian matrix, and no derivative of what is read notices."""
    a = np.array([[2.0, np.nan], [0.5, 3]])
    attrs = {"upper": False} if name == "cholesky" else {"lower": True}

    def first(x: Any) -> Any:
        return jax.tree.leaves(LOWERINGS[f"linalg.{name}"](x, **attrs))[0]

    numpys = getattr(np.linalg, name)(a)
    want = np.asarray(numpys if name != "eigh" else numpys.eigenvalues)
    np.testing.assert_allclose(np.tril(first(a)) if want.ndim == 2 else first(a), want, 1e-14)
    slopes = np.asarray(jax.jacrev(first)(a))
    assert np.isfinite(slopes[..., [0, 1, 1], [0, 0, 1]]).all()


def test_the_diagonals_that_are_not_read_may_hold_anything() -> None:
    """The elements of a tridiagonal matrix that lie outside."""
    ends = (np.array([np.nan, 0, 0]), np.ones(3), np.array([0, 0, np.inf]))
    got = LOWERINGS["linalg.tridiagonal_solve"](*ends, np.arange(3.0))
    np.testing.assert_array_equal(got, np.arange(3.0))


@pytest.mark.parametrize("order", ["nuc", "2", "-2"])
def test_norms_of_singular_values(order: str) -> None:
    """NaN as NumPy's where it returns; it raises where its iteration doesn't."""
    x = np.stack([np.diag([1.0, 2, 3]), np.diag([1.0, np.inf, 3])])
    norms = np.asarray(LOWERINGS["linalg.matrix_norm"](x, ord=order, keepdims=False))
    np.testing.assert_allclose(norms, [{"nuc": 6.0, "2": 3.0, "-2": 1.0}[order], np.nan], 1e-15)


def test_negative_powers() -> None:
    """NaN, as every inverse."""
    got = np.asarray(LOWERINGS["linalg.matrix_power"](np.diag([np.inf, 1.0]), n=-2))
    assert np.isnan(got).all()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "linalg.det" else pytest.mark.long)
        for name in sorted(GUARDED)
    ],
)
def test_matrices_without_rows(name: str) -> None:
    """Every op gives what it may give of nothing, and derivatives without elements."""
    case = next(case for case in cases_of_table() if case.op == name)
    attrs = bind_attrs(OPS[name], case.attrs_for(np.dtype("float64")))

    def function(*x: Any) -> list[Any]:
        return jax.tree.leaves(LOWERINGS[name](*x, **attrs))

    for lead in ((), (2,)):
        cores = [(0,) if operand.kind == VECTOR else (0, 0) for operand in GUARDED[name]]
        operands = [jnp.zeros((*lead, *core)) for core in cores]
        call = Call(tuple(vector(*x.shape) for x in operands), attrs)
        wanted = [t.shape for t in OPS[name].infer(call)]
        assert [x.shape for x in jax.eval_shape(function, *operands)] == wanted
        if OPS[name].derivatives is Derivatives.NONE:
            continue
        values, tangents = jax.jvp(function, operands, operands)
        assert [x.shape for x in tangents] == wanted
        cotangents = jax.vjp(function, *operands)[1](values)
        assert [x.shape for x in cotangents] == [x.shape for x in operands]
