"""Traced arrays change in place where NumPy's would, and nowhere else; what is known of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradwire as gw
from gradwire_server.program.verify import verify_program
from tracing import M, ops_of, results_of, trace


def test_in_place_arithmetic_changes_all_names_of_a_value() -> None:
    """`h = x*1.; y = h; h += 1.` changes y, as in NumPy."""

    def f(x: Any) -> Any:
        h = x * 1.0
        y = h
        h += 1.0
        return y, x * 1.0

    traced = trace(f)
    assert ops_of(traced) == ["multiply", "add", "multiply"]
    nodes = traced.program.functions[traced.program.entry].nodes
    assert results_of(traced) == [nodes[1].outputs[0], nodes[2].outputs[0]]


def test_in_place_arithmetic_doesnt_change_a_copy() -> None:
    """A copy by any of NumPy's ways keeps its elements."""

    def f(x: Any) -> Any:
        h = x * 1.0
        copies = [
            h.copy(),
            np.copy(h),
            copy.copy(h),
            copy.deepcopy(h),
            +h,
            h.astype(float),
            np.floor(h),
            np.nan_to_num(h),
            np.clip(h, None, None),
            np.array_equal(h, h),
            h.flatten(),
            h[[0, 1]],
            np.round(h.astype(int)),
            np.sort(h),
            np.trace(np.outer(h, h)),
        ]
        before = [part.ref for part in copies]
        h += 1.0
        return h.ref not in before and [part.ref for part in copies] == before

    assert trace(f).results[0].value is True  # type: ignore[union-attr]


def test_in_place_arithmetic_keeps_the_dtype() -> None:
    """float32 stays float32; a kind that doesn't fit is refused, as in NumPy."""

    def f(x: Any) -> Any:
        h = x.astype(np.float32)
        h += np.ones(4)
        h *= 2
        return h

    traced = trace(f)
    result = verify_program(traced.program).entry.signature.results[0]
    assert result.dtype == np.float32

    def wrong(x: Any) -> Any:
        h = x.astype(int)
        h += 0.5
        return h

    with pytest.raises(gw.TraceError, match="kind of dtype"):
        trace(wrong)


def test_scalars_are_rebound_not_changed() -> None:
    """A result without axes is a scalar in NumPy, and an alias keeps the old one."""

    def f(x: Any) -> Any:
        total = np.sum(x)
        old = total
        total += 1.0
        return old, total

    traced = trace(f)
    first, second = results_of(traced)
    assert first != second
    assert ops_of(traced) == ["sum", "add"]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.__iadd__(1.0),
        lambda x: (x * 1.0)[1:].__imul__(2.0),
        lambda x: _changed_with_view(x, lambda h: h[1:]),
        lambda x: _changed_with_view(x, lambda h: h.reshape(2, 2)),
        lambda x: _changed_with_view(x, lambda h: h[:, None]),
        lambda x: _changed_with_view(x, lambda h: np.broadcast_to(h, (2, 4))),
        lambda x: _changed_with_view(x, lambda h: np.split(h, 2)),
        lambda x: _changed_with_view(x, lambda h: h.astype(complex).real.__iadd__(1.0)),
        lambda x: x.sort(),
        lambda x: x.fill(0.0),
    ],
)
def test_an_argument_or_a_view_cant_be_changed(change: Callable[[Any], Any]) -> None:
    """Another value would have to follow."""
    with pytest.raises(gw.TraceError, match=r"x = x \+ y instead of x \+= y"):
        trace(change)


def _changed_with_view(x: Any, view: Callable[[Any], Any]) -> Any:
    h = x * 1.0
    kept = view(h)
    h += 1.0
    return h, kept


def test_reading_an_element_makes_no_view() -> None:
    """Elements and arrays of positions are copies in NumPy, so both may be changed after."""

    def f(x: Any) -> Any:
        h = x * 1.0
        first = h[0] + h[1:][0]
        h = h + 1.0
        picked = h[np.array([2, 0])]
        element = h[-1]
        h += first + element
        picked += 1.0
        return h, picked

    assert ops_of(trace(f)).count("add") == 5


def test_transposing_a_vector_gives_the_vector() -> None:
    """Its transpose shares its memory, so it changes with it."""

    def f(x: Any) -> Any:
        h = x * 1.0
        y = h.T
        h += 1.0
        return y

    assert ops_of(trace(f)) == ["multiply", "add"]


def test_sort_and_fill_change_the_array() -> None:
    """The methods that work in place do so for a value of the function's own."""

    def f(x: Any) -> Any:
        h = x * 1.0
        assert h.sort() is None
        zeros = np.empty_like(x)
        zeros.fill(2.5)
        return h, zeros

    assert ops_of(trace(f))[:2] == ["multiply", "sort"]


def test_properties_are_known_while_tracing() -> None:
    """Shapes and dtypes are plain Python values."""

    def f(x: Any) -> Any:
        assert (x.shape, x.ndim, x.size, x.nbytes, x.itemsize) == ((3, 4), 2, 12, 96, 8)
        assert x.dtype == np.float64
        assert x.device == "cpu"
        assert (len(x), np.shape(x), np.ndim(x), np.size(x), np.size(x, 0)) == (3, (3, 4), 2, 12, 3)
        assert np.result_type(x, np.float32) == np.float64
        assert np.result_type(x.astype("f"), 2.0) == np.float32
        assert np.can_cast(x, np.float32, "same_kind")
        assert not np.can_cast(x, np.float32)
        assert np.isrealobj(x)
        assert np.iscomplexobj(x + 1j)
        assert np.common_type(x.astype("f"), x) is np.float64
        assert np.min_scalar_type(x) == np.float64
        assert not hasattr(x, "__array_interface__")
        assert repr(x) == f"{x}" == "Traced(float64[3,4])"
        assert [row.shape for row in x] == [(4,)] * 3
        return x

    trace(f, M)
