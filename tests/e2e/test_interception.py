"""Functions of NumPy and SciPy that don't dispatch on a traced operand, called by name."""

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import gradwire as gw
from gradwire.trace.interception import INTERCEPTED

pytestmark = pytest.mark.usefixtures("server")

TABLE = np.arange(6.0) ** 2
X = np.array([[1.0, 2, 3], [4, 5, -6]])


def test_a_captured_table_is_read_at_a_traced_position() -> None:
    """`np.take` dispatches only on the table, which is no traced array."""
    loop = lambda w: gw.fori_loop(0, 5, lambda i, c: c + w * np.take(TABLE, i), 0.0)  # noqa: E731
    assert gw.grad(loop)(2.0) == 30
    rows = gw.vmap(lambda i: np.take(X, i, axis=1))(np.array([2, 0]))
    np.testing.assert_array_equal(rows, X.T[[2, 0]])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: scipy.special.softmax(x),
        lambda x: scipy.special.softmax(x, axis=1),
        lambda x: scipy.special.log_softmax(x, axis=(0, 1)),
        lambda x: scipy.special.logsumexp(x),
        lambda x: scipy.special.logsumexp(x, axis=1, keepdims=True),
        lambda x: scipy.special.logsumexp(x, axis=0, b=np.abs(x)),
        lambda x: scipy.special.logsumexp(x, axis=1, b=np.array([0, 1, 2.0])),
        lambda x: scipy.special.logsumexp(np.where(x > 4, -np.inf, x), axis=0),
        lambda x: np.stack(scipy.special.logsumexp(x, b=x - 3, return_sign=True)),
        lambda x: np.stack(scipy.special.logsumexp(x, return_sign=True)),
        lambda x: scipy.special.softmax(np.astype(x, np.int32)),
    ],
)
def test_functions_of_scipy_by_their_own_names(f: Callable[[Any], Any]) -> None:
    """Values as SciPy's, in any use of their options."""
    np.testing.assert_allclose(gw.remote(f)(X), f(X), 1e-14)


def test_the_derivative_of_a_weighed_sum() -> None:
    """Of log Σ b exp(a): the weights' shares by a, and those over b by b."""
    x, b = X[0], np.array([0.5, 0, 3])
    gradient = gw.grad(lambda x, b: scipy.special.logsumexp(x, b=b), argnums=(0, 1))(x, b)
    share = b * np.exp(x) / np.sum(b * np.exp(x))
    np.testing.assert_allclose(gradient[0], share, 1e-14)
    np.testing.assert_allclose(gradient[1][[0, 2]], (share / np.where(b, b, 1))[[0, 2]], 1e-14)


def test_the_libraries_are_as_before_when_tracing_ends() -> None:
    """Also by an exception, and from the inner of two functions."""
    before = {(m, n): getattr(sys.modules[m], n) for m, n in INTERCEPTED}

    def fails(x: Any) -> Any:
        gw.vmap(lambda x: np.take(TABLE, np.astype(x, int)))(x)
        assert np.take is not before["numpy", "take"]
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        gw.remote(fails)(X[0])
    for (module, name), function in before.items():
        assert getattr(sys.modules[module], name) is function


def test_other_threads_get_the_librarys_own_answer() -> None:
    """While one thread traces, the functions take arrays of another as usual."""
    seen = []

    def f(x: Any) -> Any:
        worker = threading.Thread(
            target=lambda: seen.append((np.take(TABLE, 3), scipy.special.softmax(X[0])))
        )
        worker.start()
        worker.join()
        return x

    gw.remote(f)(1.0)
    ((element, weights),) = seen
    assert element == 9
    np.testing.assert_array_equal(weights, scipy.special.softmax(X[0]))


def test_a_name_that_was_bound_before_says_what_to_write() -> None:
    """It is the library's own function, which can't be intercepted."""
    softmax, take = scipy.special.softmax, np.take
    with pytest.raises(gw.TraceError, match=r"write gw\.ops\.nn\.softmax"):
        gw.remote(lambda x: softmax(x))(X[0])
    with pytest.raises(gw.TraceError, match=r"write gw\.ops\.take\(table, i, axis=0\)"):
        gw.remote(lambda i: take(TABLE, i))(1)
