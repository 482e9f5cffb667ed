"""Mistakes while tracing are errors at once, with the line and what to write."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradwire as gw
from tracing import M, X, trace


def _branch(x: Any) -> Any:
    if x[0] > 0:
        return x
    return -x


def _loop(x: Any) -> Any:
    while np.sum(x) < 3:
        x = x + 1
    return x


def _assign(x: Any) -> Any:
    x[0] = 1
    return x


def _assign_into_array(x: Any) -> Any:
    result = np.zeros(4)
    result[0] = x[0]
    return result


def _update_array(x: Any) -> Any:
    result = np.zeros(4)
    result += x
    return result


def _chained_comparison(x: Any) -> Any:
    return 0 < x < 1


def _short_circuit(x: Any) -> Any:
    return (x > 0) and (x < 1)


def _count(x: Any) -> Any:
    return sum(i for i in range(x[0].astype(int)))


OWN_TAKE = np.take
"""As a caller has it who bound the name before: tracing can't reach it."""
MISTAKES: dict[str, tuple[Callable[..., Any], str]] = {
    "if": (_branch, "np.where(condition, a, b)"),
    "while": (_loop, "np.where"),
    "chain": (_chained_comparison, "np.logical_and"),
    "and": (_short_circuit, "np.logical_and"),
    "not": (lambda x: not x[0], "np.where"),
    "float": (lambda x: float(x[0]), "x.astype(float)"),
    "int": (lambda x: int(x[0]), "close over the number"),
    "complex": (lambda x: complex(x[0]), "x.astype(complex)"),
    "round": (lambda x: round(x[0]), "np.rint(x)"),
    "math": (lambda x: math.exp(x[0]), "np.exp(x)"),
    "range": (_count, "close over the number"),
    "assign": (_assign, "gw.ops.index_set(x, np.s_[...], y)"),
    "assign into array": (_assign_into_array, "gw.ops.index_set(y, np.s_[...], x)"),
    "update array": (_update_array, "a = a + x"),
    "mask": (lambda x: x[x > 0], "np.where(mask, x, 0)"),
    "mask and slice": (lambda m: m[m[:, 0] > 0, 1:], "np.where(mask, x, 0)"),
    "slice": (lambda x: x[: x[0].astype(int)], "gw.ops.dynamic_slice"),
    "shape": (lambda x: np.reshape(x, (x[0].astype(int), -1)), "close over the number"),
    "array of list": (lambda x: np.array([x[0], x[1]]), "np.stack"),
    "asarray": (lambda x: np.asarray(x), "np.stack"),
    "list operand": (lambda x: np.sin([x[0], x[1]]), "np.stack"),
    "list beside": (lambda x: np.add(x[:2], [x[0], x[1]]), "np.stack"),
    "in": (lambda x: 1.0 in x, "np.any(x == y)"),
    "format": (lambda x: f"{x[0]:.3f}", "return it"),
    "item": (lambda x: x[0].item(), "return the array"),
    "tolist": (lambda x: x.tolist(), "return the array"),
    "tobytes": (lambda x: x.tobytes(), "return the array"),
    "flat": (lambda x: x.flat, "x.ravel()"),
    "view": (lambda x: x.view(np.int64), "gw.ops.bitcast"),
    "strides": (lambda x: x.strides, "memory"),
    "nonzero method": (lambda x: x.nonzero(), "np.where"),
    "out": (lambda x: np.sum(x, out=np.zeros(())), "use its result"),
    "out of ufunc": (lambda x: np.exp(x, out=np.zeros(4)), "a = a + x"),
    "where of ufunc": (lambda x: np.exp(x, where=x > 0), "np.where"),
    "where": (lambda x: np.sum(x, where=x > 0), "np.where(mask, x, neutral)"),
    "where of mean": (lambda x: np.mean(x, where=x > 0), "np.sum(mask)"),
    "initial": (lambda x: np.max(x, initial=0.0), "np.maximum(initial, np.max(x))"),
    "initial of sum": (lambda x: x.sum(initial=1.0), "combine its result"),
    "casting": (lambda x: np.add(x, x, casting="no"), "leave them out"),
    "order": (lambda x: np.reshape(x, (2, 2), order="A"), "order='C' or order='F'"),
    "order of memory": (lambda x: np.ravel((M * x).T, order="K"), "order='C' or order='F'"),
    "order of flatten": (lambda x: (M * x).flatten("A"), "order='C' or order='F'"),
    "condition alone": (lambda x: np.where(x > 0), "np.where(condition, x, y)"),
    "nonzero": (lambda x: np.nonzero(x), "np.where(condition, a, b)"),
    "unique": (lambda x: np.unique(x), "np.sort(x)"),
    "weights of a quantile": (
        lambda x: np.quantile(x, 0.5, method="inverted_cdf", weights=x),
        "np.cumsum of the weights",
    ),
    "integers at traced places": (
        lambda x: np.quantile(np.arange(4), x, method="lower"),
        "x.astype(float)",
    ),
    "first of numbers": (lambda x: np.nanargmax(x), "np.argmax(np.where"),
    "subscript of a table": (lambda x: X[x.astype(int)], "gw.ops.take(table, i, axis=0)"),
    "element of a table": (lambda x: X[x[0].astype(int)], "gw.ops.take(table, i, axis=0)"),
    "mask of a table": (lambda x: X[x > 0], "np.where(mask, table, 0)"),
    "take from a table": (
        lambda x: OWN_TAKE(X, x[0].astype(int)),
        "np.take can't take it; write gw.ops.take(table, i, axis=0)",
    ),
    "subscript of a list": (lambda x: [1.0, 2.0][x[0].astype(int)], "gw.ops.take(np.stack"),
    "full": (lambda x: np.full((2,), x[0]), "value * np.ones(shape)"),
    "pad with": (lambda x: np.pad(X, 1, constant_values=x[0]), "gw.ops.pad"),
    "roll by": (lambda x: np.roll(X, x[0].astype(int)), "np.roll can't take it in this place"),
    "rank": (lambda x: np.linalg.matrix_rank(M * x), "np.linalg.svdvals"),
    "cond": (lambda x: np.linalg.cond(M * x), "np.linalg.svdvals"),
    "full svd": (lambda x: np.linalg.svd(M * x), "full_matrices=False"),
    "complete qr": (lambda x: np.linalg.qr(M.T * x[:, None], "complete"), "mode='reduced'"),
    "put": (lambda x: np.put(x, 0, 1), "gw.ops.index_set"),
    "copyto": (lambda x: np.copyto(x, 1.0), "gw.ops.index_set"),
    "at": (lambda x: np.add.at(x, 0, 1.0), "gw.ops.index_add"),
    "maximum at": (lambda x: np.maximum.at(x, 0, 1.0), "gw.ops.index_max"),
    "reduceat": (lambda x: np.add.reduceat(x, [0, 2]), "gw.ops.index_add"),
    "vectorize": (lambda x: np.vectorize(lambda y: y)(x), "np.stack"),
    "along axis": (lambda x: np.apply_along_axis(np.sum, 0, x), "gw.vmap"),
    "random": (lambda x: np.random.default_rng(0).normal(x), "np.stack"),
    "no function": (lambda x: np.busday_count(x, x), "docs/opset.md"),
    "no ufunc": (lambda x: np.spacing(x), "docs/opset.md"),
    "foreign ufunc": (lambda x: np.frompyfunc(lambda y: y, 1, 1)(x), "docs/opset.md"),
    "no method of ufunc": (lambda x: np.subtract.reduce(x), "docs/opset.md"),
    "traced repeats": (lambda x: np.repeat(x, x.astype(int)), "close over the counts"),
    "traced cuts": (lambda x: np.split(x, x.astype(int)), "close over the positions"),
    "pad mode": (lambda x: np.pad(x, 1, "linear_ramp"), "constant, edge"),
    "float into integers": (lambda x: gw.ops.index_set(np.arange(3), 0, x[0]), "astype"),
    "dtype": (lambda x: x.astype(np.longdouble), "float64"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_an_error_at_once(name: str) -> None:
    """The message names this file and the line, and says what to write."""
    function, advice = MISTAKES[name]
    argument = M if name == "mask and slice" else X
    with pytest.raises(gw.TraceError) as caught:
        trace(function, argument)
    message = str(caught.value)
    lines, first = inspect.getsourcelines(function)
    assert advice in message
    places = [f"{__file__}:{number}" for number in range(first, first + len(lines))]
    assert any(f"(at {place}" in message for place in places), message


def test_rules_of_numpy_are_errors_of_numpy() -> None:
    """Wrong axes, shapes and positions raise what NumPy raises, not a tracing error."""
    for wrong, error in [
        (lambda x: x + np.ones(3), ValueError),
        (lambda x: np.reshape(x, (3, -1)), ValueError),
        (lambda x: np.sum(x, axis=1), np.exceptions.AxisError),
        (lambda x: x[7], IndexError),
        (lambda x: x[[0, -5]], IndexError),
        (lambda x: np.take(x, [9]), IndexError),
        (lambda x: x[0, 0], IndexError),
        (lambda x: x[1.0], IndexError),
        (lambda x: x[np.ones(3, bool)], IndexError),
        (lambda x: np.concatenate([x, M]), ValueError),
        (lambda x: np.squeeze(x, 0), ValueError),
        (lambda x: np.linalg.inv(x), ValueError),
        (lambda x: np.split(x, 3), ValueError),
        (lambda x: len(x[0]), TypeError),
        (lambda x: x.no_such_name, AttributeError),
        (lambda x: x.astype(np.uint8) + 300, OverflowError),
        (lambda x: x.astype(np.uint8) ** 300, OverflowError),
        (lambda x: np.clip(x.astype(np.uint8), 300, 400), OverflowError),
        (lambda x: np.where(x > 0, x.astype(np.uint8), 2**70), OverflowError),
        (lambda x: np.degrees(x.astype(complex)), TypeError),
        (lambda x: np.radians(x + 1j), TypeError),
        (lambda x: np.positive(x > 0), TypeError),
        (lambda x: np.ediff1d(x > 0), TypeError),
        (lambda x: np.gradient(x > 0), TypeError),
        (lambda x: np.interp(x * 1j, X, X), TypeError),
        (lambda x: np.add(x, x * 1j, dtype=np.float64), TypeError),
        (lambda x: np.unwrap(x.astype(np.uint8), period=4), OverflowError),
        (lambda x: np.digitize(x, [0, 2, 1]), ValueError),
        (lambda x: np.interp(x, X, X, period=0), ValueError),
        (lambda x: np.reshape(x, -1, order="B"), ValueError),
        (lambda x: np.quantile(x, 1.5), ValueError),
        (lambda x: np.percentile(x, [50, 101]), ValueError),
        (lambda x: np.nanquantile(x, 0.5, method="none"), ValueError),
        (lambda x: np.quantile(x + 1j, 0.5), TypeError),
        (lambda x: np.quantile(x[:0], 0.5), IndexError),
        (lambda x: np.nanmean(x, dtype=int), TypeError),
    ]:
        with pytest.raises(error) as ours:
            trace(wrong)
        assert not isinstance(ours.value, gw.TraceError)
        with pytest.raises(error):
            wrong(X)
