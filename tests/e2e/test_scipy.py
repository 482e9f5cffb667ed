"""SciPy's functions on traced arrays; SciPy isn't there where the client's own tests run."""

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.integrate
import scipy.linalg
import scipy.spatial
import scipy.special
import scipy.stats

import gradwire as gw
from gradwire.trace import remedies

pytestmark = pytest.mark.usefixtures("server")


@pytest.mark.parametrize(
    ("function", "remedy"),
    [
        (
            scipy.special.logsumexp,
            "scipy.special.logsumexp can't take it; write gw.ops.logsumexp",
        ),
        (scipy.special.softmax, "scipy.special.softmax can't take it; write gw.ops.nn.softmax"),
        (scipy.linalg.expm, "scipy.linalg.expm can't take it; write gw.ops.linalg.expm"),
        (scipy.linalg.logm, "scipy.linalg.logm can't take it; write gw.ops.linalg.logm"),
        (scipy.linalg.circulant, "scipy.linalg.circulant can't take it; write gw.ops.linalg."),
        (
            scipy.linalg.fractional_matrix_power,
            "write gw.ops.linalg.expm(p * gw.ops.linalg.logm(a))",
        ),
        (scipy.linalg.schur, "scipy.linalg.schur can't take it; write it with NumPy's functions"),
        (scipy.fft.fft2, "scipy.fft.fft2 can't take it; write np.fft.fft2"),
        (scipy.fft.fft, "scipy.fft.fft can't take it; write gw.ops.fft.fft"),
        (scipy.integrate.trapezoid, "scipy.integrate.trapezoid can't take it; write np.trapezoid"),
        (
            scipy.spatial.distance.pdist,
            "scipy.spatial.distance.pdist can't take it; write np.linal",
        ),
        (scipy.stats.norm.logpdf, "can't take it; write it with NumPy's functions or gw.ops"),
    ],
)
def test_a_function_of_scipy_is_refused_at_the_callers_line(
    function: Callable[[Any], Any], remedy: str
) -> None:
    """With the op that does the same, where there is one."""

    def f(x: Any) -> Any:
        more = (0.5,) if function is scipy.linalg.fractional_matrix_power else ()
        return function(x, *more)  # the caller's line

    with pytest.raises(gw.TraceError) as caught:
        gw.remote(f)(np.eye(3))
    told = str(caught.value)
    assert remedy in told
    assert f" (at {__file__}:" in told
    assert told.endswith("return function(x, *more)  # the caller's line)")


def test_every_op_of_scipys_name_and_every_remedy_is_there() -> None:
    """What a message says to write exists, and so does what it replaces."""
    for name, instead in remedies._INSTEAD.items():
        assert callable(_named(name)), name
        for written in re.findall(r"(?:gw|np)[.][\w.]+", instead):
            assert callable(_named(written)), written


def _named(path: str) -> Any:
    root, *names = path.split(".")
    known = {"gw": gw, "np": np, "numpy": np, "scipy": scipy}
    return functools.reduce(getattr, names, known[root])


def test_a_callers_own_function_below_scipys_is_to_blame_itself() -> None:
    """Where SciPy calls back, the message is about the line of the caller's that fails."""

    def f(x: Any) -> Any:
        return scipy.integrate.quad(lambda t: float(t * x[0, 0]), 0.0, 1.0)[0]

    with pytest.raises(gw.TraceError, match=r"float\(x\) and functions such as"):
        gw.remote(f)(np.eye(3))


def test_remedies_are_right() -> None:
    """Those that are formulas give what SciPy gives."""
    a = np.array([[0.5, 0.2, 0.1], [0.1, 0.6, 0.0], [0.3, 0.1, 0.7]])
    c, r, b = a[0], a[1], a[2]
    known = {"gw": gw, "np": np, "a": a, "e": a.T, "p": 0.5, "c": c, "b": b, "x": a, "y": a.T}
    for name, arguments in {
        "scipy.linalg.circulant": (c,),
        "scipy.linalg.coshm": (a,),
        "scipy.linalg.cosm": (a,),
        "scipy.linalg.fractional_matrix_power": (a, 0.5),
        "scipy.linalg.sinhm": (a,),
        "scipy.linalg.sinm": (a,),
        "scipy.linalg.solve_circulant": (c, b),
        "scipy.spatial.distance.cdist": (a, a.T),
    }.items():
        got = eval(remedies._INSTEAD[name], known)
        np.testing.assert_allclose(got, _named(name)(*arguments), 1e-9, 1e-12, err_msg=name)
    _, derivative = eval(remedies._INSTEAD["scipy.linalg.expm_frechet"], known)
    np.testing.assert_allclose(derivative, scipy.linalg.expm_frechet(a, a.T)[1], 1e-9)
    toeplitz = (np.r_[c], np.r_[c[0], r[1:]])
    known |= {"c": toeplitz[0], "r": toeplitz[1], "x": b}
    for name, arguments in {
        "scipy.linalg.matmul_toeplitz": (toeplitz, b),
        "scipy.linalg.solve_toeplitz": (toeplitz, b),
    }.items():
        got = eval(remedies._INSTEAD[name], known)
        np.testing.assert_allclose(got, _named(name)(*arguments), 1e-9, err_msg=name)
