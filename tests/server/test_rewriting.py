"""Programs that are rewritten before they are lowered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from gradwire.ir import TypedProgram
from gradwire.opset.core import Range
from gradwire_server.compiler.rewriting import rewrite_program
from running import lowered, type_of
from sketch import Sketch, op, several, total

rng = np.random.default_rng(9)
X, Y = rng.standard_normal((2, 3))
Z = X + 1j * Y
BACKWARDS = (Range(None, None, -2),)
HUGE = np.array([1e200, -1e200 + 1e199j, 1e200j])


def program(write: Callable[..., Any], *arguments: Any) -> TypedProgram:
    sketch = Sketch()
    sketch.add([type_of(x) for x in arguments], write)
    return sketch.typed()


def norm(x: Any, **attrs: Any) -> Any:
    return op("linalg.vector_norm", x, axis=(0,), **attrs)


def std(x: Any, **attrs: Any) -> Any:
    return op("std", x, axis=(0,), **attrs)


REPLACED: dict[str, tuple[Callable[..., Any], Sequence[Any], Callable[..., Any]]] = {
    # what is written, its operands, the same in NumPy
    "square": (lambda x: op("square", norm(x)), [X], lambda x: np.sum(x**2)),
    "complex": (lambda z: op("abs", z) ** 2, [Z], lambda z: abs(z) ** 2),
    "hypot": (lambda x, y: op("hypot", x, y) ** 6, [X, Y[:1]], lambda x, y: (x**2 + y**2) ** 3),
    "pow": (lambda z: op("pow", op("abs", z), 4.0), [Z], lambda z: abs(z) ** 4),
    "product": (lambda z: op("abs", z) * op("abs", z), [Z], lambda z: abs(z) ** 2),
    "matmul": (lambda z: op("abs", z) @ op("abs", z), [Z], lambda z: np.sum(abs(z) ** 2)),
    "vecdot": (
        lambda z: op("vecdot", op("abs", z), op("abs", z), axis=-1),
        [np.stack([Z, 2 * Z])],
        lambda z: np.sum(abs(z) ** 2, -1),
    ),
    "deviation": (
        lambda z: std(z, correction=1.0, keepdims=True) ** 2,
        [Z],
        lambda z: np.var(z, ddof=1, keepdims=True),
    ),
    "frobenius": (
        lambda x: op("linalg.matrix_norm", x, keepdims=True) ** 2,
        [np.stack([X, Y])],
        lambda x: np.sum(x**2, keepdims=True),
    ),
    "norm_of_norms": (
        lambda z: norm(op("abs", z)) ** 2,
        [Z],
        lambda z: np.sum(abs(z) ** 2),
    ),
    "scaled": (
        lambda z, y: (y * op("abs", z) / 3.0) ** 2,
        [Z, Y],
        lambda z, y: (y * abs(z) / 3) ** 2,
    ),
    "scaled_norm": (lambda x, y: (norm(x) / y) ** 2, [X, Y], lambda x, y: np.sum(x**2) / y**2),
    "scaled_huge": (lambda z: (op("abs", z) / 1e200) ** 2, [HUGE], lambda z: abs(z / 1e200) ** 2),
    "two_roots": (
        lambda z, y: (op("abs", z) * op("hypot", y, 1.0)) ** 2,
        [Z, Y],
        lambda z, y: abs(z) ** 2 * (y**2 + 1),
    ),
    "root_and_norm": (
        lambda z: (op("abs", z) * norm(z)) ** 2,
        [Z],
        lambda z: abs(z) ** 2 * np.sum(abs(z) ** 2),
    ),
    "moved": (
        lambda z: op("getitem", op("reshape", -op("abs", z), shape=(3, 1)), index=BACKWARDS) ** 2,
        [Z],
        lambda z: (abs(z) ** 2)[::-2, None],
    ),
    "converted": (
        lambda z: op("astype", op("abs", z), dtype=np.dtype("float64")) ** 2,
        [Z.astype(np.complex64)],
        lambda z: abs(z.astype(complex)) ** 2,
    ),
    "joined": (
        lambda x, y: op("stack", norm(x), total(y, 0), axis=0) ** 2,
        [X, Y],
        lambda x, y: np.array([np.sum(x**2), np.sum(y) ** 2]),
    ),
    "chosen": (
        lambda x, y: op("where", op("greater", y, 0.0), norm(x), y) ** 2,
        [X, Y],
        lambda x, y: np.where(y > 0, np.sum(x**2), y**2),
    ),
    "half": (
        lambda x: norm(x) ** 2,
        [np.array([100.0, 150.0, 100.0], np.float16)],
        lambda x: np.float16(42500.0),
    ),
}  # fmt: skip


def ops_of(typed: TypedProgram) -> list[str]:
    return [node.op for function in typed.program.functions for node in function.nodes]


@pytest.mark.parametrize(("write", "arguments", "reference"), REPLACED.values(), ids=REPLACED)
def test_an_even_power_of_a_root_is_computed_without_it(
    write: Callable[..., Any], arguments: Sequence[Any], reference: Callable[..., Any]
) -> None:
    """The value is the same to rounding, and no result depends on a root any more."""
    typed = program(write, *arguments)
    new = rewrite_program(typed)
    assert new.entry.signature == typed.entry.signature
    function = new.program.functions[0]
    needed, roots = set(function.results), {"abs", "hypot", "std", "linalg.vector_norm"}
    for node in reversed(function.nodes):
        if needed & set(node.outputs):
            assert node.op not in roots | {"linalg.matrix_norm"}
            needed |= set(node.inputs)
    (got,) = lowered(new)(*arguments)
    want = np.asarray(reference(*arguments))
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(want.dtype).eps)


KEPT: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "no_root": (lambda x: x**2 + op("exp", x), [X]),
    "root": (lambda x: norm(x), [X]),
    "odd": (lambda z: op("abs", z) ** 3, [Z]),
    "real_exponent": (lambda z: op("pow", op("abs", z), 2.5), [Z]),
    "negative": (lambda z: op("abs", z) ** -2, [Z]),
    "sum": (lambda z: (op("abs", z) + 1.0) ** 2, [Z]),
    "other_norm": (lambda x: norm(x, ord=1.0) ** 2, [X]),
    "two_different": (lambda x, y: norm(x) * norm(y), [X, Y]),
    "divisor": (lambda x, z: (x / op("abs", z)) ** 2, [X, Z]),
    "complex_scale": (lambda z: op("astype", op("abs", z), dtype=np.dtype(complex)) * z, [Z]),
    "made_complex": (
        lambda z: op("abs", op("astype", op("abs", z), dtype=np.dtype(complex))) + 1.0,
        [Z],
    ),
    "exponents": (lambda z, y: op("pow", op("abs", z), y), [Z, Y]),
    "integer": (lambda x: op("abs", x) ** 3, [np.arange(-1, 2)]),
}


@pytest.mark.parametrize(("write", "arguments"), KEPT.values(), ids=KEPT)
def test_everything_else_stays_as_it_is(
    write: Callable[..., Any], arguments: Sequence[Any]
) -> None:
    """The same object is returned."""
    typed = program(write, *arguments)
    assert rewrite_program(typed) is typed


def test_a_root_that_becomes_complex_is_followed_no_further() -> None:
    """Its modulus is a root of its own, of what is complex."""
    typed = program(
        lambda z: op("abs", op("astype", op("abs", z), dtype=np.dtype(complex))) ** 2, Z
    )
    (got,) = lowered(rewrite_program(typed))(Z)
    np.testing.assert_allclose(got, abs(Z) ** 2, 1e-15)


def test_only_what_is_needed_is_added() -> None:
    """A root that is used for something else stays, and no unused node is added."""
    typed = program(lambda z: [op("abs", z) ** 2, op("exp", op("abs", z)) * 2.0], Z)
    new = rewrite_program(typed)
    assert sorted(ops_of(new)) == sorted(
        ["abs", "abs", "exp", "multiply", "real", "imag", "square", "square", "add"]
    )


def test_squares_are_found_in_every_function() -> None:
    """In callees, too; values that go in and out of them are left alone."""
    sketch = Sketch()
    callee = sketch.add([type_of(X)], lambda x: [norm(x) ** 2, norm(x)])
    sketch.add(
        [type_of(X)],
        lambda x: [y**2 for y in several("call", x, functions=[callee], outputs=2)],
    )
    new = rewrite_program(sketch.typed())
    first, second = new.program.functions
    assert "integer_pow" not in [node.op for node in first.nodes]
    assert [node.op for node in second.nodes] == ["call", "integer_pow", "integer_pow"]
