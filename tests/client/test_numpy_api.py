"""NumPy functions on traced arrays: types, refusals and the Array API, without a server.

Their values are compared in `tests/e2e/test_numpy_api.py`.
"""

import contextlib
import functools
import re
from typing import Any

import numpy as np
import pytest

import gradwire as gw
from gradwire.numpy_api import refusals
from gradwire.numpy_api.registry import ABSENT
from gradwire.numpy_api.special import scipy_ufunc
from gradwire.opset import BY_UFUNC
from gradwire.tensors import TensorType
from gradwire.trace.program import Static, trace_program
from gradwire.trace.traced import FUNCTIONS, UFUNCS
from gradwire.trees import flatten
from gradwire_server.program.verify import verify_program
from numpy_cases import CASES, Case

NUMPY_UFUNCS = [name for name in BY_UFUNC if name.startswith("numpy.")]


@pytest.mark.parametrize("name", NUMPY_UFUNCS)
def test_ufuncs_of_the_table_are_numpys(name: str) -> None:
    """They take as many operands as the op, and are traced."""
    ufunc = getattr(np, name.removeprefix("numpy."))
    assert isinstance(ufunc, np.ufunc)
    assert BY_UFUNC[name].arity == (ufunc.nin, ufunc.nin)
    assert ufunc in UFUNCS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_dtype_and_shape_are_numpys(case: Case) -> None:
    """Tracing alone knows the dtype and the shape that NumPy gives each result."""
    traced = trace_program(case.function(), tuple(case.arguments.values()), {})
    types = verify_program(traced.program).entry.signature.results
    wanted, tree = flatten(case.expected())
    assert traced.tree == tree
    got = [
        result.value if isinstance(result, Static) else types[result] for result in traced.results
    ]
    for ours, theirs in zip(got, wanted, strict=True):
        if isinstance(ours, TensorType):
            array = np.asarray(theirs)
            assert ours == TensorType(array.dtype, array.shape)
        else:
            assert ours == theirs


def _named_in_cases() -> set[Any]:
    """Returns the functions and ufuncs of NumPy that the cases call by name."""
    found = set()
    for name in re.findall(r"np\.((?:linalg\.|fft\.)?\w+)", " ".join(c.expression for c in CASES)):
        with contextlib.suppress(AttributeError):
            found.add(functools.reduce(getattr, name.split("."), np))
    return found


def test_every_handler_is_tried() -> None:
    """Each function and ufunc with an answer is in a case, or its tests are named here."""
    refused = {
        functools.reduce(getattr, name.split("."), np)  # type: ignore[arg-type]
        for name in refusals._REFUSED
    }
    of_types = {np.can_cast, np.common_type, np.iscomplexobj, np.isrealobj, np.min_scalar_type}
    of_types |= {np.ndim, np.result_type, np.shape, np.size}  # test_tracer.py
    behind_operators = {np.add, np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.divmod, np.equal}
    behind_operators |= {np.floor_divide, np.greater, np.greater_equal, np.invert, np.left_shift}
    behind_operators |= {np.less, np.less_equal, np.multiply, np.not_equal, np.remainder}
    behind_operators |= {np.right_shift, np.subtract}
    answered = set(FUNCTIONS) | set(UFUNCS)
    without_values = {np.empty_like}
    assert answered - _named_in_cases() - refused - of_types - behind_operators == without_values


def test_every_function_named_here_is_numpys() -> None:
    """No handler is left out for a name that NumPy doesn't have."""
    assert ABSENT == []


def test_every_function_of_numpy_has_an_answer() -> None:
    """What takes arrays either has a handler or is on the list of what never will."""
    dispatched = {
        f"{prefix}{name}"
        for prefix, module in (("", np), ("linalg.", np.linalg), ("fft.", np.fft))
        for name in dir(module)
        if hasattr(getattr(module, name), "_implementation")
        and getattr(module, name) not in FUNCTIONS
    }
    assert dispatched - OLD_FUNCTIONS == set()


OLD_FUNCTIONS = {
    # Dates, bits, text and printing.
    "busday_count",
    "busday_offset",
    "datetime_as_string",
    "datetime_data",
    "is_busday",
    "isdtype",
    "packbits",
    "unpackbits",
    # Polynomials of the old kind.
    "poly",
    "polyadd",
    "polyder",
    "polydiv",
    "polyint",
    "polymul",
    "polysub",
    # Rare, and written in a line of others.
    "asarray_chkfinite",
    "histogram_bin_edges",
    "in1d",
    "ix_",
    "mask_indices",
    "real_if_close",
    "unwrap",
}


def test_the_namespace_is_that_of_the_array_api() -> None:
    """It has every name that NumPy has, and makes arrays of traced parts."""

    def f(x: Any, t: Any) -> Any:
        xp = x.__array_namespace__(api_version="2024.12")
        assert xp is t.__array_namespace__()
        assert xp.sum is np.sum
        assert xp.isdtype(x.dtype, "real floating")
        assert xp.asarray([1, 2]).dtype == np.int64
        assert xp.full((2,), 0.5).dtype == np.float64
        assert xp.asarray(x) is x
        assert xp.asarray(x, copy=True) is not x
        assert {"astype", "concat", "linalg", "fft"} <= set(dir(xp))
        return (
            xp.asarray([[x[0], t], [1.0, 2]]),
            xp.asarray(x, dtype=xp.float32),
            xp.full((2, 2), t),
            xp.full((2,), x[0], dtype=xp.complex64),
            xp.astype(x, xp.int32),
            xp.linspace(t, 1, 3),
        )

    traced = trace_program(f, (np.ones(3), np.float32(2.0)), {})
    types = verify_program(traced.program).entry.signature.results
    assert [str(types[result]) for result in traced.results] == [  # type: ignore[index]
        "float64[2,2]",
        "float32[3]",
        "float32[2,2]",
        "complex64[2]",
        "int32[3]",
        "float32[3]",
    ]

    def shared(x: Any) -> Any:
        return x.__array_namespace__().from_dlpack(x)

    with pytest.raises(gw.TraceError, match="no memory"):
        trace_program(shared, (np.ones(3),), {})


def test_a_ufunc_of_another_library_is_not_taken_for_scipys() -> None:
    """A name says nothing: another library's `erf` may be another function."""
    impostor = np.frompyfunc(lambda x: x, 1, 1)
    assert scipy_ufunc(impostor) is None
    for ufunc in (np.sin, np.expm1):
        assert scipy_ufunc(ufunc) is None
