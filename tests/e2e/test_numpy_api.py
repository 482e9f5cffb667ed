"""NumPy functions on traced arrays give NumPy's values, through the real lowering."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
import scipy.linalg
import scipy.special

import gradwire as gw
from gradwire.opset import BY_UFUNC
from gradwire.tensors import is_inexact
from gradwire.trace.program import Static, TracedProgram, bind, trace_program
from gradwire.trees import flatten
from gradwire_server.compiler.derivatives import OPERATORS
from gradwire_server.compiler.lowering import LOWERINGS, lower_function
from numpy_cases import CASES, Case
from planned import settle

GROUP = 60
"""How many cases are compiled as one program, which is much faster than one by one."""


def _run(group: Sequence[tuple[TracedProgram, Sequence[Any]]]) -> list[list[Any]]:
    """Compiles programs into one and runs it on their arguments."""
    functions = []
    for traced, _ in group:
        typed = settle(traced.program)
        functions.append(lower_function(typed, traced.program.entry, {**LOWERINGS, **OPERATORS}))

    def run_all(inputs: list[list[Any]]) -> list[list[Any]]:
        return [f(*operands) for f, operands in zip(functions, inputs, strict=True)]

    with jax.enable_x64(True):
        return jax.jit(run_all)([bind(traced, leaves) for traced, leaves in group])


def _leaves(traced: TracedProgram, outputs: Sequence[Any]) -> list[Any]:
    return [
        result.value if isinstance(result, Static) else np.asarray(outputs[result])
        for result in traced.results
    ]


def _traced(case: Case) -> tuple[TracedProgram, list[Any]]:
    arguments = tuple(case.arguments.values())
    return trace_program(case.function(), arguments, {}), list(arguments)


@cache
def _answers(number: int) -> dict[str, list[Any]]:
    """Returns the results of one group of cases."""
    cases = list(itertools.islice(CASES, number * GROUP, (number + 1) * GROUP))
    group = [_traced(case) for case in cases]
    results = zip(cases, group, _run(group), strict=True)
    return {case.id: _leaves(traced, outputs) for case, (traced, _), outputs in results}


def _tolerance(array: Any, case: Case) -> float:
    """Returns the error allowed, relative to the largest element."""
    return float(np.finfo(array.dtype).eps) * 32 * case.loose


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.id for case in CASES])
def test_values_are_numpys(number: int) -> None:
    """The same expression on traced arrays and on real ones: the same numbers."""
    case = CASES[number]
    try:
        got = _answers(number // GROUP)[case.id]
    except Exception:  # noqa: BLE001  # another case of the group may be at fault
        traced, arguments = _traced(case)
        got = _leaves(traced, _run([(traced, arguments)])[0])
    wanted, _ = flatten(case.expected())
    assert len(got) == len(wanted)
    for ours, theirs in zip(got, wanted, strict=True):
        theirs = np.asarray(theirs)
        assert np.asarray(ours).dtype == theirs.dtype
        assert np.shape(ours) == theirs.shape
        if not is_inexact(theirs.dtype):
            np.testing.assert_array_equal(ours, theirs)
            continue
        finite = np.abs(theirs[np.isfinite(theirs)])
        scale = max(float(finite.max()), 1.0) if finite.size else 1.0
        tolerance = _tolerance(theirs, case)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale)


def _agree(function: Callable[..., Any], *args: Any, rtol: float = 1e-12) -> None:
    """Asserts that a function gives the same traced as not."""
    traced = trace_program(function, args, {})
    leaves, _ = flatten(args)
    got = _leaves(traced, _run([(traced, leaves)])[0])
    wanted, _ = flatten(function(*args))
    for ours, theirs in zip(got, wanted, strict=True):
        theirs = np.asarray(theirs)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)


rng = np.random.default_rng(11)
A = rng.standard_normal((5, 3))
S = A.T @ A + np.eye(3)


# --- the Array API -------------------------------------------------------------------


def softmax(x: Any) -> Any:
    """Written against the standard: uses no NumPy."""
    xp = x.__array_namespace__()
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def layer_norm(x: Any, gain: Any, bias: Any) -> Any:
    """Written against the standard."""
    xp = x.__array_namespace__()
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    variance = xp.var(x, axis=-1, keepdims=True, correction=0.0)
    eps = xp.asarray(xp.finfo(x.dtype).eps, dtype=x.dtype)
    return centred / xp.sqrt(variance + eps) * gain + bias


def log_density(x: Any, mean: Any, covariance: Any) -> Any:
    """The normal log-density through a Cholesky factor, written against the standard."""
    xp = x.__array_namespace__()
    factor = xp.linalg.cholesky(covariance)
    z = xp.linalg.solve(factor, xp.matrix_transpose(x - mean))
    n = covariance.shape[-1]
    log_det = 2 * xp.sum(xp.log(xp.linalg.diagonal(factor)), axis=-1)
    return -0.5 * (xp.sum(z**2, axis=0) + log_det + n * math.log(2 * xp.pi))


def reorder(x: Any) -> Any:
    """Creation, joining, selection and types of the standard."""
    xp = x.__array_namespace__()
    order = xp.argsort(x[:, 0], stable=True)
    rows = xp.take(x, order, axis=0)
    rows = xp.where(rows > 0, rows, xp.zeros_like(rows))
    both = xp.concat([rows, xp.flip(x, axis=0)], axis=1)
    wide = xp.astype(both, xp.float32)
    return xp.permute_dims(wide, (1, 0)), xp.unstack(rows), xp.asarray([x[0, 0], x[1, 1]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_the_array_api_agree(dtype: str) -> None:
    """What is written against the standard gives the same as with NumPy."""
    x, s = A.astype(dtype), S.astype(dtype)
    rtol = 1e-4 if dtype == "float32" else 1e-11
    _agree(softmax, x, rtol=rtol)
    _agree(layer_norm, x, x[0], x[1], rtol=rtol)
    _agree(log_density, x, x[0], s, rtol=rtol)
    _agree(reorder, x, rtol=rtol)


# --- scipy.special -------------------------------------------------------------------

SCIPY: dict[str, tuple[Any, ...]] = {
    "erf": (A,),
    "erfc": (A,),
    "erfinv": (np.tanh(A),),
    "expit": (A,),
    "log_expit": (A,),
    "logit": (abs(np.tanh(A)),),
    "gammaln": (abs(A) + 0.1,),
    "digamma": (abs(A) + 0.1,),
    "psi": (abs(A) + 0.1,),
    "zeta": (abs(A) + 1.5, 2.0),
    "beta": (abs(A) + 0.1, 2.0),
    "betaln": (abs(A) + 0.1, 2.0),
    "erfcinv": (1 + np.tanh(A),),
    "erfcx": (A,),
    "gamma": (A,),
    "kl_div": (abs(A), 2.0),
    "loggamma": (abs(A),),
    "rel_entr": (abs(A), 2.0),
    "betainc": (abs(A) + 0.5, 2.0, 0.3),
    "gammainc": (abs(A) + 0.5, 2.0),
    "gammaincc": (abs(A) + 0.5, abs(A[0])),
    "i0": (A,),
    "i1": (A,),
    "i0e": (A,),
    "i1e": (A,),
    "ndtr": (A,),
    "log_ndtr": (A,),
    "ndtri": (abs(np.tanh(A)),),
    "entr": (abs(A),),
    "xlogy": (A, abs(A)),
    "xlog1py": (A, abs(A[0])),
    "expm1": (A,),
    "log1p": (abs(A),),
    "cbrt": (A,),
    "exp2": (A,),
}


def test_every_scipy_ufunc_with_an_op_is_tried() -> None:
    """The names in the table of ops and this list are equal."""
    names = [name.rpartition(".") for name in BY_UFUNC]
    assert set(SCIPY) == {word for library, _, word in names if library != "numpy"} | {"zeta"}


@pytest.mark.parametrize("name", SCIPY)
def test_ufuncs_of_scipy_record_by_themselves(name: str) -> None:
    """`scipy.special` on a traced array is the op of that name."""
    ufunc = getattr(scipy.special, name)
    _agree(lambda *operands: ufunc(*operands), *SCIPY[name], rtol=1e-8)


def test_ufuncs_of_scipy_keep_single_precision() -> None:
    """Dtypes are SciPy's own."""
    _agree(lambda x: scipy.special.erf(x), A.astype("f"), rtol=1e-5)
    _agree(lambda x: scipy.special.xlogy(x, 2.5), A.astype("f"), rtol=1e-5)
    _agree(lambda k: scipy.special.expit(k), np.arange(4))


def test_functions_of_scipy_without_an_op_are_refused() -> None:
    """The message names the ufunc and the line."""
    for function in (scipy.special.airy, scipy.special.jv):
        with pytest.raises(gw.TraceError, match=r"has no op.*test_numpy_api\.py:\d+"):
            trace_program(lambda x, f=function: f(*[x] * f.nin), (A,), {})


# --- gw.ops --------------------------------------------------------------------------


def _set(x: Any, key: Any, value: Any) -> Any:
    x = x.copy()
    x[key] = value
    return x


def _add(x: Any, key: Any, value: Any) -> Any:
    x = x.copy()
    np.add.at(x, key, value)
    return x


OPS: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]] = {
    "expm": (lambda s: gw.ops.linalg.expm(s), scipy.linalg.expm, (S / 4,)),
    "softmax": (
        lambda x: gw.ops.nn.softmax(x),
        lambda x: scipy.special.softmax(x, axis=-1),
        (A,),
    ),
    "logsumexp": (lambda x: gw.ops.logsumexp(x), scipy.special.logsumexp, (A,)),
    "erf of an integer": (lambda x: gw.ops.special.erf(x), scipy.special.erf, (2,)),
    "set": (
        lambda x: gw.ops.index_set(x, np.s_[1:3, -1], 7),
        lambda x: _set(x, np.s_[1:3, -1], 7),
        (A,),
    ),
    "add": (
        lambda x: gw.ops.index_add(x, [0, 0, 2], 1.0),
        lambda x: _add(x, [0, 0, 2], 1.0),
        (A,),
    ),
    "add by traced mask": (
        lambda x: gw.ops.index_add(x, x > 0, 1.0),
        lambda x: _add(x, x > 0, 1.0),
        (A,),
    ),
    "set rows by traced mask": (
        lambda x: gw.ops.index_set(x, x[:, 0] > 0, x[0]),
        lambda x: _set(x, x[:, 0] > 0, x[0]),
        (A,),
    ),
    "max": (
        lambda x: gw.ops.index_max(x, np.s_[:, 1], 0.0),
        lambda x: _set(x, np.s_[:, 1], np.maximum(x[:, 1], 0)),
        (A,),
    ),
    "set at traced positions": (
        lambda x, i: gw.ops.index_set(x, (i, slice(None)), x[0]),
        lambda x, i: _set(x, (i, slice(None)), x[0]),
        (A, np.array([1, 3])),
    ),
    "slice": (
        lambda x, i: gw.ops.dynamic_slice(x, (i, 0), (2, 3)),
        lambda x, i: x[i : i + 2],
        (A, np.int64(2)),
    ),
    "placed slice": (
        lambda x, i: gw.ops.dynamic_update_slice(x, x[:1], (i, 0)),
        lambda x, i: _set(x, i, x[0]),
        (A, np.int64(2)),
    ),
    "parts": (lambda x: gw.ops.split(x, indices=[2]), lambda x: np.split(x, [2]), (A,)),
    "transform": (lambda x: gw.ops.fft.rfft(x, axis=0), lambda x: np.fft.rfft(x, axis=0), (A,)),
    "where": (lambda x: gw.ops.where(x > 0, x, 0), lambda x: np.where(x > 0, x, 0), (A,)),
}


@pytest.mark.parametrize("name", OPS)
def test_an_op_gives_its_reference_traced_and_called(server: Any, name: str) -> None:
    """Inside a traced function it is a node, outside one call of the server: one value."""
    ours, reference, arguments = OPS[name]
    wanted, _ = flatten(reference(*arguments))
    traced = trace_program(ours, arguments, {})
    for got in (
        _leaves(traced, _run([(traced, arguments)])[0]),
        flatten(ours(*arguments))[0],
        flatten(gw.remote(ours)(*arguments))[0],
    ):
        assert len(got) == len(wanted)
        for value, theirs in zip(got, wanted, strict=True):
            assert value.shape == np.shape(theirs)
            np.testing.assert_allclose(value, theirs, rtol=1e-10, atol=1e-12)


def test_derivatives_pass_through_numpy_functions(server: Any) -> None:
    """A gradient through sorting, joining, padding and a norm is that of differences."""

    def f(x: Any) -> Any:
        parts = np.split(np.sort(x), 2)
        y = np.pad(np.concatenate([parts[1], 2 * parts[0]]), 1, mode="reflect")
        return np.linalg.norm(np.convolve(y, [1.0, -2.0, 1.0])) + np.ptp(x) * np.sinc(x[0])

    x = np.array([0.3, -1.2, 0.8, 2.0])
    step = 1e-6
    wanted = [(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(4)]
    np.testing.assert_allclose(gw.grad(f)(x), wanted, rtol=1e-6)
