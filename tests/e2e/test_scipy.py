"""SciPy's functions on traced arrays; SciPy isn't there where the client's own tests run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats

import gradwire as gw

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
        (scipy.stats.norm.logpdf, "or a function of gw.ops"),
    ],
)
def test_a_function_of_scipy_is_refused_at_the_callers_line(
    function: Callable[[Any], Any], remedy: str
) -> None:
    """With the op that does the same, where there is one."""

    def f(x: Any) -> Any:
        return function(x)  # the caller's line

    with pytest.raises(gw.TraceError) as caught:
        gw.remote(f)(np.eye(3))
    told = str(caught.value)
    assert f"{remedy} (at {__file__}:" in told
    assert told.endswith("return function(x)  # the caller's line)")
