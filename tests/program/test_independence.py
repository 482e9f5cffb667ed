"""What is proved of functions of a whole batch, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from gradwire.errors import InvalidProgramError
from gradwire.ir import independence
from gradwire.ir.independence import Coupling, Independence, prove_independent
from sketch import Sketch, Value, op, several, total, type_of

X = type_of(np.zeros((4, 3)))
ROW = type_of(np.zeros(3))
W = np.ones((3, 3))
BOOL = np.dtype(np.bool_)
DOUBLE = np.dtype(np.float64)


def prove(
    write: Callable[..., Any],
    types: Sequence[Any] = (X,),
    axes: Sequence[int | None] = (0,),
    sketch: Sketch | None = None,
) -> Coupling | None:
    """Tries to prove that what ``write`` makes keeps samples apart."""
    sketch = sketch or Sketch()
    index = sketch.add(types, write)
    typed = sketch.typed()
    return prove_independent(typed.program.functions, typed.infos, index, axes)


def mean(x: Value) -> Value:
    return op("mean", x, axis=(0,), keepdims=True)


APART: dict[str, Callable[[Value], Any]] = {
    "elementwise": lambda x: op("sin", x) * x + 1.0,
    "matrix product": lambda x: op("tanh", op("matmul", x, W)),
    "a row's sum": lambda x: op("sum", x * x, axis=(1,)),
    "softmax of rows": lambda x: op("exp", x - op("logsumexp", x, axis=(1,), keepdims=True)),
    "there and back": lambda x: op("matrix_transpose", op("matrix_transpose", x) * 2.0),
    "a constant": lambda x: [x, np.ones((4, 3))],
    "stopped mean": lambda x: x - op("stop_gradient", mean(x)),
    "rounded mean": lambda x: x * op("floor", mean(x)),
    "choice by the whole batch": lambda x: op("where", op("greater", x, mean(x)), x, x * x),
    "a discrete detour": lambda x: (
        x * op("astype", op("astype", mean(x), dtype=BOOL), dtype=DOUBLE)
    ),
}


@pytest.mark.parametrize("name", APART)
def test_proved(name: str) -> None:
    """A function whose derivatives keep samples apart is proved to."""
    assert prove(APART[name]) is None


COUPLED: dict[str, tuple[Callable[[Value], Any], int]] = {
    "half a mean": (lambda x: op("sin", x) + 0.5 * mean(x), 1),
    "mean with weight 0": (lambda x: x + 0.0 * mean(x), 0),
    "softmax of columns": (lambda x: x - op("logsumexp", x, axis=(0,), keepdims=True), 0),
    "gram matrix": (lambda x: op("matmul", x, op("matrix_transpose", x)), 1),
    "cumulative sum": (lambda x: op("cumulative_sum", x, axis=0), 0),
    "reversed": (lambda x: op("flip", x, axis=(0,)), 0),
    "moved on": (lambda x: op("roll", x, shift=(1,), axis=(0,)), 0),
    "one row for all": (lambda x: x * total(x * np.eye(4, 3), 0), 1),
}


@pytest.mark.parametrize("name", COUPLED)
def test_not_proved(name: str) -> None:
    """A function that mixes samples isn't proved; the first node that mixes is named."""
    write, node = COUPLED[name]
    coupling = prove(write)
    assert coupling is not None
    assert (coupling.function, coupling.node, coupling.result) == (0, node, 0)
    assert f"functions[0].nodes[{node}]" in str(coupling)


def test_batch_on_another_axis() -> None:
    """Samples that are kept apart, but not on axis 0, don't pass; no node is the cause."""
    square = type_of(np.zeros((3, 3)))
    coupling = prove(lambda x: [x, op("matrix_transpose", x)], [square])
    assert coupling == Coupling(0, None, "", 1)
    assert str(coupling) == "result 1 of functions[0] has no batch on axis 0"


def test_aux_may_mix() -> None:
    """Only the results that are asked for are proved."""
    sketch = Sketch()
    index = sketch.add([X], lambda x: [x * 2.0, mean(x)])
    typed = sketch.typed()
    walker = Independence(typed.program.functions, typed.infos)
    assert walker.prove(index, (0,), 1) is None
    coupling = walker.prove(index, (0,))
    assert coupling is not None
    assert coupling.op == "mean"
    assert coupling.result == 1


def test_other_arguments_may_mix() -> None:
    """The mean of an argument that isn't differentiated is a constant to the derivatives."""

    def write(x, y):  # type: ignore[no-untyped-def]
        return x * y - mean(y)

    assert prove(write, [X, X], [0, None]) is None
    assert prove(write, [X, X], [0, 0]) is not None


def sample(x: Value) -> Value:
    """A function of one sample."""
    return total(op("sin", x) ** 2, 0)


CALLS: dict[str, tuple[Callable[..., Any], bool]] = {
    "call": (lambda x, f, g: op("call", x, functions=[f]), True),
    "call that mixes": (lambda x, f, g: op("call", x, functions=[g]), False),
    "checkpoint": (lambda x, f, g: op("checkpoint", x, functions=[f]), True),
    "jvp": (lambda x, f, g: several("jvp", x, x * x, functions=[f], outputs=2), True),
    "jvp, constant tangent": (
        lambda x, f, g: several("jvp", x, np.ones((4, 3)), functions=[f], outputs=2),
        True,
    ),
    "jvp, mixed tangent": (
        lambda x, f, g: several("jvp", x, x * mean(x), functions=[f], outputs=2)[1],
        False,
    ),
    "value of a jvp with mixed tangent": (
        lambda x, f, g: several("jvp", x, x * mean(x), functions=[f], outputs=2)[0],
        True,
    ),
    "jvp that mixes": (lambda x, f, g: several("jvp", x, x, functions=[g], outputs=2), False),
    "vjp": (lambda x, f, g: several("vjp", x, x, functions=[f], outputs=2), True),
    "vjp that mixes": (lambda x, f, g: several("vjp", x, x, functions=[g], outputs=2), False),
    "vjp, reversed cotangent": (
        lambda x, f, g: several("vjp", x, op("flip", x, axis=(0,)), functions=[f], outputs=2),
        False,
    ),
    "jacobian": (lambda x, f, g: several("jacobian", x, functions=[f], outputs=2), True),
    "hessian diagonal": (
        lambda x, f, g: several("hessian_diagonal", x, functions=[f], outputs=2),
        True,
    ),
    "laplacian": (
        lambda x, f, g: several("laplacian", x, functions=[f], outputs=3, with_grad=True),
        True,
    ),
    "blocks": (
        lambda x, f, g: several("batched_jacobian", x, functions=[f], outputs=2, mapped=(1,)),
        True,
    ),
    "trace": (lambda x, f, g: x * several("jacobian_trace", x, functions=[f], outputs=2)[1], False),
    "diagonal estimate": (
        lambda x, f, g: several(
            "diagonal_estimate",
            x,
            np.uint32(0),
            functions=[f],
            outputs=3,
            operator="jacobian",
            num_samples=2,
        ),
        True,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_operators(name: str) -> None:
    """The proof goes through functions that are called and differentiated."""
    write, proved = CALLS[name]
    sketch = Sketch()
    f = sketch.add([X], lambda x: op("tanh", op("matmul", x, W)))
    g = sketch.add([X], lambda x: x * mean(x))
    assert (prove(lambda x: write(x, f, g), sketch=sketch) is None) == proved


@pytest.mark.parametrize(
    ("mapped", "types", "axes", "proved"),
    [
        ((1, 1), (X, X), (0, 0), True),
        ((1, 1), (X, X), (0, None), True),
        ((1, 0), (X, ROW), (0, None), True),
        ((1, 1), (X, X), (0, 1), False),  # the batch of one is mapped, of the other not
        ((1, 1), (X, X), (1, 1), True),  # over columns: the batch is inside
        ((1, 0), (X, ROW), (1, 0), True),
        ((1, 0), (X, ROW), (0, 0), False),
    ],
)
def test_vmap(mapped: Any, types: Any, axes: Any, proved: bool) -> None:
    """The mapped axis may be the batch itself, or another axis with the batch inside."""
    sketch = Sketch()
    f = sketch.add([ROW, ROW], lambda x, y: x * y)
    g = sketch.add(types, lambda x, y: op("vmap", x, y, functions=[f], mapped=mapped))
    typed = sketch.typed()
    coupling = prove_independent(typed.program.functions, typed.infos, g, axes)
    on_axis = coupling is not None and coupling.node is None
    # With the batch on axis 1 the result has it there: apart, though not on axis 0.
    assert (coupling is None or on_axis) == proved


def test_vmap_over_another_axis_looks_inside() -> None:
    """A map over columns of a function that mixes the batch is found to mix."""
    sketch = Sketch()
    f = sketch.add([type_of(np.zeros(4))], lambda x: x - op("mean", x, axis=(0,), keepdims=True))

    def write(x):  # type: ignore[no-untyped-def]
        columns = op("vmap", op("matrix_transpose", x), functions=[f], mapped=(1,))
        return op("matrix_transpose", columns)

    coupling = prove(write, sketch=sketch)
    assert coupling is not None
    assert (coupling.function, coupling.node, coupling.op) == (0, 0, "mean")


def test_per_sample_operators_under_vmap() -> None:
    """Gradients, Hessians and products of one sample keep the batch apart."""
    sketch = Sketch()
    f = sketch.add([ROW], sample)

    def one(x):  # type: ignore[no-untyped-def]
        return [
            *several("grad", x, functions=[f], outputs=2),
            *several("hvp", x, x, functions=[f], outputs=2),
            *several("hessian", x, functions=[f], outputs=2),
        ]

    g = sketch.add([ROW], one)
    assert (
        prove(lambda x: several("vmap", x, functions=[g], outputs=6, mapped=(1,)), sketch=sketch)
        is None
    )


def test_gradient_with_respect_to_an_aligned_argument() -> None:
    """A leaf with the batch's axis gets rows; one that is shared sums over all."""
    sketch = Sketch()
    f = sketch.add([X, X, ROW], lambda x, y, c: op("sin", x * y) + c)

    def rows(x, y, c):  # type: ignore[no-untyped-def]
        return several("vjp", x, y, c, x, functions=[f], outputs=2, wrt=(1,))[1]

    def shared(x, y, c):  # type: ignore[no-untyped-def]
        gathered = several("vjp", x, y, c, x, functions=[f], outputs=2, wrt=(2,))[1]
        return x * gathered

    assert prove(rows, [X, X, ROW], [0, None, None], sketch) is None
    coupling = prove(shared, [X, X, ROW], [0, None, None], sketch)
    assert coupling is not None
    assert coupling.op == "vjp"


def test_gradient_of_a_sum_over_the_batch_is_not_proved() -> None:
    """A scalar has no rows, so nothing is known of its gradient: the safe answer."""
    sketch = Sketch()
    f = sketch.add([X], lambda x: total(x * x, 0, 1))
    for name, extras in (("grad", 0), ("hvp", 1)):
        coupling = prove(
            lambda x, name=name, extras=extras: several(
                name, x, *[x] * extras, functions=[f], outputs=2
            )[1],
            sketch=sketch,
        )
        assert coupling is not None
        assert coupling.op == "sum"


def test_unread_batches_pass_scalars() -> None:
    """An operator on a function that doesn't read the batch depends on nothing."""
    sketch = Sketch()
    f = sketch.add([X, ROW], lambda x, c: total(c * c, 0))

    def write(x, c):  # type: ignore[no-untyped-def]
        gradient = several("grad", x, c, functions=[f], outputs=2, wrt=(1,))[1]
        product = several("hvp", x, c, c, functions=[f], outputs=2, wrt=(1,))[1]
        return x * gradient * product

    assert prove(write, [X, ROW], [0, None], sketch) is None


def test_long_proofs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound a walker proves nothing more."""
    monkeypatch.setattr(independence, "MAX_VISITS", 3)
    assert prove(lambda x: x * 1.0 * 1.0 * 1.0) is None
    coupling = prove(lambda x: x * 1.0 * 1.0 * 1.0 * 1.0)
    assert coupling == Coupling(0, 3, "multiply", 0)


def batched(write: Callable[..., Any], types: Sequence[Any], **attrs: Any) -> Sketch:
    sketch = Sketch()
    f = sketch.add(types, write)
    num_outputs = 2
    sketch.add(
        types,
        lambda *x: several("batched_jacobian", *x, functions=[f], outputs=num_outputs, **attrs),
    )
    return sketch


def test_a_program_is_refused_where_it_stands() -> None:
    """The error names the node of the operator, the node that mixes, and the remedy."""
    sketch = batched(lambda x: x + mean(x), [X], mapped=(1,))
    with pytest.raises(InvalidProgramError) as error:
        sketch.typed()
    assert (error.value.function, error.value.node) == (1, 0)
    assert "`functions[0].nodes[0]` (mean)" in error.value.message
    assert "`independent=True`" in error.value.message


def test_a_program_is_taken() -> None:
    """Proofs, `independent`, and derivatives by parameters alone are all enough."""
    batched(lambda x: x * 2.0, [X], mapped=(1,)).typed()
    batched(lambda x: x + mean(x), [X], mapped=(1,), independent=True).typed()
    batched(lambda x, c: (x - mean(x)) * c, [X, ROW], mapped=(1, 0), wrt=(1,)).typed()
    batched(lambda c, x, y: c * x - mean(y), [ROW, X, X], num_captures=1, mapped=(1, 1)).typed()
