"""The compiler computes nothing large while it compiles: its interpreter takes minutes."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from gradwire.ir import Node
from gradwire_server.compiler.lowering import LOWERINGS, lower_function
from planned import settle
from programs import function, node, program, vector

jax.config.update("jax_enable_x64", True)

N = 300
WINDOW = {"window": (4,), "strides": (1,), "padding": (0, 0)}
OPS = [
    ("sort", {"axis": 0}, "sort("),
    ("argsort", {"axis": 0}, "sort("),
    ("argmax", {"axis": 0}, "reduce("),
    ("cumulative_max", {"axis": 0}, "maximum("),
    ("nn.max_pool", WINDOW, "reduce-window("),
    ("nn.avg_pool", WINDOW, "reduce-window("),
]


def _compiled(op: str, attrs: dict[str, object], source: str) -> str:
    """The compiled program of an op on what depends on no parameter."""
    values = np.random.default_rng(0).normal(size=N)
    made: list[Node] = []
    if source == "iota":
        made.append(node("iota", [], 2, dtype=np.dtype("float64"), shape=(N,), axis=0))
    result = node(op, [2 if made else 1], 3, **attrs)
    body = function([vector()], *made, result, results=[3], constants=[values])
    run = lower_function(settle(program(body)), 0, LOWERINGS)
    return jax.jit(run).lower(np.float64(0)).compile().as_text() or ""


@pytest.mark.parametrize("source", ["constant", "iota"])
@pytest.mark.parametrize(("op", "attrs", "marker"), OPS, ids=[op for op, _, _ in OPS])
def test_large_constants_are_left_for_the_run(
    op: str, attrs: dict[str, object], marker: str, source: str
) -> None:
    """The op is still there when the program has been compiled."""
    assert marker in _compiled(op, attrs, source)
