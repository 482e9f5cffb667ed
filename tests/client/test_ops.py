"""`gw.ops`: every op of the table as a function, without a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradwire as gw
import tracing
from gradwire.ir import Node
from gradwire.numpy_api.registry import OP_FORMS
from gradwire.opset import FAMILIES, OPS

WITH_FUNCTIONS = ("control", "operator")
PLAIN = [op.name for family in FAMILIES if family not in WITH_FUNCTIONS for op in FAMILIES[family]]

X = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
S = X[:, :2] @ X[:, :2].T + 2 * np.eye(2)


def lookup(name: str) -> Callable[..., Any]:
    """Returns the function of an op."""
    found: Any = gw.ops
    for part in name.split("."):
        found = getattr(found, part)
    function: Callable[..., Any] = found
    return function


def trace(function: Callable[..., Any], *args: Any) -> tuple[list[Node], list[str]]:
    """Returns the nodes and the types of the results."""
    traced = tracing.trace(function, *args)
    return tracing.nodes_of(traced), tracing.types_of(traced)


@pytest.mark.parametrize("name", PLAIN)
def test_every_op_is_a_function_with_its_documentation(name: str) -> None:
    """Its name is the op's, and its help tells operands, attributes and what it does."""
    function = lookup(name)
    assert function.__name__ == name.rpartition(".")[2]
    assert function.__doc__ is not None
    assert OPS[name].doc in function.__doc__
    for attribute in OPS[name].attrs:
        if f"gw.ops.{name}(" in function.__doc__:
            assert attribute in function.__doc__


def test_names_are_the_tables() -> None:
    """Nothing else is offered, and an unknown name is an error."""
    words = {name.partition(".")[0] for name in PLAIN}
    assert set(dir(gw.ops)) == words
    with pytest.raises(AttributeError, match="no op 'sine'"):
        gw.ops.sine(X)
    with pytest.raises(AttributeError):
        gw.ops.linalg.sine(X)


TYPES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], list[str]]] = {
    "elementwise": (lambda x: gw.ops.sin(x), (X,), ["float64[2,3]"]),
    "promoted": (lambda x, y: gw.ops.add(x, y), (X.astype("f"), X), ["float64[2,3]"]),
    "weak": (lambda x: gw.ops.multiply(x, 2.5), (X.astype("f"),), ["float32[2,3]"]),
    "integers": (lambda x: gw.ops.sin(x), (np.arange(3),), ["float64[3]"]),
    "a number": (lambda x: gw.ops.special.erf(2), (X,), ["float64[]"]),
    "truth values": (lambda x: gw.ops.sum(x > 0), (X,), ["int64[]"]),
    "truth values kept": (lambda x: gw.ops.logical_not(x > 0), (X,), ["bool[2,3]"]),
    "integers kept": (lambda x: gw.ops.sum(x), (np.arange(3, dtype="i4"),), ["int32[]"]),
    "list": (lambda x: gw.ops.add(x, [1, 2, 3]), (X,), ["float64[2,3]"]),
    "all axes": (lambda x: gw.ops.logsumexp(x), (X,), ["float64[]"]),
    "one axis": (lambda x: gw.ops.logsumexp(x, axis=1, keepdims=True), (X,), ["float64[2,1]"]),
    "no axes": (lambda x: gw.ops.sum(x, axis=()), (X,), ["float64[2,3]"]),
    "last axis": (lambda x: gw.ops.nn.softmax(x), (X,), ["float64[2,3]"]),
    "where": (lambda x: gw.ops.where(x, 1, 2.5), (X,), ["float64[2,3]"]),
    "joined": (lambda x: gw.ops.concat([x, x]), (X,), ["float64[4,3]"]),
    "joined too": (lambda x: gw.ops.stack(x, x, axis=-1), (X,), ["float64[2,3,2]"]),
    "parts": (lambda x: gw.ops.split(x, indices=[1]), (X,), ["float64[1,3]", "float64[1,3]"]),
    "one part": (lambda x: gw.ops.split(x, indices=()), (X,), ["float64[2,3]"]),
    "outputs": (lambda s: gw.ops.linalg.slogdet(s), (S,), ["float64[]", "float64[]"]),
    "mixed": (
        lambda a, b: gw.ops.linalg.solve(a, b),
        (S, np.arange(2)),
        ["float64[2]"],
    ),
    "positions": (lambda x, i: gw.ops.take(x, i, axis=1), (X, np.arange(2)), ["float64[2,2]"]),
    "small positions": (
        lambda x, i: gw.ops.take_along_axis(x, i),
        (X, np.zeros((2, 1), "i1")),
        ["float64[2,1]"],
    ),
    "no operand": (lambda x: gw.ops.eye(n_rows=2, n_cols=3), (X,), ["float64[2,3]"]),
    "dtype": (lambda x: gw.ops.astype(x, dtype="float32"), (X,), ["float32[2,3]"]),
    "one hot": (lambda x: gw.ops.one_hot(x, num_classes=4), (np.arange(2),), ["float64[2,4]"]),
    "reshape": (lambda x: gw.ops.reshape(x, (3, -1)), (X,), ["float64[3,2]"]),
    "transform": (lambda x: gw.ops.fft.rfft(x), (X,), ["complex128[2,2]"]),
    "matrix": (lambda s: gw.ops.linalg.expm(s), (S.astype("f"),), ["float32[2,2]"]),
    "slice": (
        lambda x, i: gw.ops.dynamic_slice(x, (0, i), (1, 2)),
        (X, np.int64(1)),
        ["float64[1,2]"],
    ),
    "placed slice": (
        lambda x, i: gw.ops.dynamic_update_slice(x, np.ones((1, 2)), (0, i)),
        (X.astype("f"), np.int64(1)),
        ["float32[2,3]"],
    ),
    "element": (lambda x: gw.ops.getitem(x, np.s_[..., 0]), (X,), ["float64[2]"]),
    "set": (lambda x: gw.ops.index_set(x, np.s_[0, 1:], 1), (X.astype("f"),), ["float32[2,3]"]),
    "set rows": (lambda x, i: gw.ops.index_add(x, i, x), (X, np.array([1, 0])), ["float64[2,3]"]),
    "set by mask": (lambda x: gw.ops.index_multiply(x, x > 0, 2), (X,), ["float64[2,3]"]),
}


@pytest.mark.parametrize("name", TYPES)
def test_operands_and_attributes_may_be_written_freely(name: str) -> None:
    """They are brought into the form that the op takes."""
    function, arguments, wanted = TYPES[name]
    assert trace(function, *arguments)[1] == wanted


def test_an_op_is_one_node() -> None:
    """With operands of its dtype nothing is added."""
    nodes, _ = trace(lambda s: gw.ops.linalg.expm(gw.ops.nn.softmax(s, axis=0)), S)
    assert [(node.op, dict(node.attrs)) for node in nodes] == [
        ("nn.softmax", {"axis": (0,)}),
        ("linalg.expm", {}),
    ]


def test_forms_are_those_of_ops() -> None:
    """What is called otherwise than its node is written is an op of the table."""
    assert OP_FORMS.keys() <= OPS.keys()


def test_updates_follow_the_subscript() -> None:
    """Slices, positions, new axes and a mask that is known are one node."""
    nodes, _ = trace(lambda x: gw.ops.index_max(x, np.s_[::-1, [0, 2]], 0.0), X)
    assert [node.op for node in nodes] == ["index_max"]
    nodes, _ = trace(lambda x: gw.ops.index_set(x, X > 0, 0.0), X)
    assert [node.op for node in nodes] == ["index_set"]
    nodes, _ = trace(lambda x: gw.ops.index_min(x, x > 0, 0.0), X)
    assert [node.op for node in nodes][-1] == "where"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda x: gw.ops.sum(x, 0),
            r"sum must have 1 operands; got 2: gw\.ops\.sum\(x, axis=None",
        ),
        (lambda x: gw.ops.add(x), "must have 2 operands"),
        (lambda x: gw.ops.sum(x, axes=0), "no attribute `axes`"),
        (lambda x: gw.ops.take(x, [0]), r"`axis` must be given: gw\.ops\.take\(x, positions, axis"),
        (lambda x: gw.ops.tile(x, repetitions=x[0, 0]), "close over the number"),
        (lambda x: gw.ops.index_set(x, 0, 1j), r"complex128 can't be stored .* float64"),
        (lambda x: gw.ops.index_set(x, x[:1] > 0, 1.0), "traced mask must have the shape"),
    ],
)
def test_wrong_calls_are_type_errors(wrong: Callable[..., Any], message: str) -> None:
    """They tell how the op is called."""
    with pytest.raises(TypeError, match=message):
        trace(wrong, X)


def test_a_rule_of_the_op_names_the_line() -> None:
    """What only the table knows is refused where it is written."""
    with pytest.raises(gw.InvalidProgramError, match=r"square.*test_ops\.py:\d+: .*expm\(x\)"):
        trace(lambda x: gw.ops.linalg.expm(x), X)
