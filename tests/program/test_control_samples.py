"""Which functions with control ops keep samples apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradwire.ir.independence import prove_independent
from programs import vector
from sketch import Sketch, Value, op, several, total, type_of

V = vector(3)
BATCH = type_of(np.zeros((4, 3)))


def apart(write: Callable[..., Any], axis: int = 0) -> bool:
    """Whether a function of a (4, 3) batch is proved to keep samples apart."""
    sketch = Sketch()
    keep = sketch.add([BATCH], lambda x: op("sin", x))
    mix = sketch.add([BATCH], lambda x: op("cumulative_sum", x, axis=0))
    test = sketch.add([BATCH], lambda x: op("less", total(x, 0, 1), 9.0))
    f = sketch.add([BATCH], lambda x: write(x, {"keep": keep, "mix": mix, "test": test}, sketch))
    typed = sketch.typed()
    return prove_independent(typed.program.functions, typed.infos, f, [axis]) is None


@pytest.mark.parametrize("body", ["keep", "mix"])
def test_choices_and_loops_keep_samples_apart_if_their_functions_do(body: str) -> None:
    """One function that mixes is enough to lose the proof."""
    wanted = body == "keep"

    def cond(x: Value, f: dict[str, int], _: Sketch) -> Value:
        large = op("less", total(x, 0, 1), 1.0)
        return op("cond", large, x, functions=[f["keep"], f[body]])

    assert apart(cond) == wanted
    assert apart(lambda x, f, _: op("while_loop", x, functions=[f["test"], f[body]])) == wanted
    assert (
        apart(lambda x, f, _: op("scan", x, functions=[f[body]], num_carry=1, length=3)) == wanted
    )


def test_a_scan_over_samples_mixes_and_a_map_does_not() -> None:
    """With the batch as the sequence; with it on another axis neither does."""
    for name, attrs, wanted in (("map", {}, True), ("scan", {"num_carry": 0, "length": 4}, False)):
        sketch = Sketch()
        row = sketch.add([V], lambda x: op("cumulative_sum", x, axis=0))
        f = sketch.add([BATCH], lambda x, n=name, a=attrs, r=row: op(n, x, functions=[r], **a))
        typed = sketch.typed()
        proof = prove_independent(typed.program.functions, typed.infos, f, [0])
        assert (proof is None) == wanted
    sketch = Sketch()
    running = sketch.add([V, V], lambda h, x: h + op("sin", x))
    f = sketch.add(
        [BATCH],
        lambda x: op("scan", np.zeros(3), x, functions=[running], num_carry=1, length=4),
    )
    typed = sketch.typed()
    assert prove_independent(typed.program.functions, typed.infos, f, [0]) is not None
    sketch = Sketch()
    column = sketch.add([type_of(np.zeros(4))] * 2, lambda h, x: [h + op("sin", x), h * x])

    def over_columns(x: Value) -> Value:
        last, stack = several(
            "scan",
            total(x, 1),
            op("matrix_transpose", x),
            functions=[column],
            outputs=2,
            num_carry=1,
            length=3,
        )
        return op("matrix_transpose", stack) * op("expand_dims", last, axis=(1,))

    f = sketch.add([BATCH], over_columns)
    typed = sketch.typed()
    assert prove_independent(typed.program.functions, typed.infos, f, [0]) is None
