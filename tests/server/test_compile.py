"""Programs are compiled to bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradwire.errors import UnsupportedError
from gradwire.ir import encode_program
from gradwire.ir.precision import PRECISIONS
from gradwire.tensors import FROM_WIRE
from gradwire_server.compiler import compile as compiler
from gradwire_server.compiler.compile import compile_program
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.runtime.executable import load_executable
from programs import X, function, node, program, vector

TANH = program(function([vector(3), vector(2)], node("tanh", [0], 2), results=[2, 2]))


def _compiled(source: Any, bucket: int = NO_BATCH, precision: str = "highest") -> Any:
    return load_executable(compile_program(encode_program(source), precision, bucket, ()))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_program_is_compiled_loaded_and_run(precision: str) -> None:
    """The result is NumPy's; an input that nothing reads is passed all the same."""
    outputs = _compiled(TANH, precision=precision)([X, np.zeros(2)])
    for output in outputs:
        assert type(output) is np.ndarray
        np.testing.assert_allclose(output, np.tanh(X), rtol=1e-15)


def test_a_mapped_program_runs_for_each_row() -> None:
    """Mapped inputs have the rows of the bucket, others none; every output has them."""
    body = function([vector(3), vector(3)], node("add", [0, 1], 2), results=[2, 1])
    executable = _compiled(program(body, mapped=[True, False]), 4)
    rows = np.arange(12.0).reshape(4, 3)
    added, passed = executable([rows, X])
    np.testing.assert_array_equal(added, rows + X)
    np.testing.assert_array_equal(passed, np.broadcast_to(X, (4, 3)))


@pytest.mark.parametrize("dtype", FROM_WIRE.values(), ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2)], ids=str)
def test_every_dtype_passes_unchanged(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Also as a constant, and without elements."""
    value = np.ones(shape, dtype)
    body = function([vector(*shape, dtype=dtype)], results=[0, 1], constants=[value])
    for output in _compiled(program(body))([value]):
        assert (output.dtype, output.shape) == (dtype, shape)
        np.testing.assert_array_equal(output, value)


@pytest.mark.parametrize(
    ("precision", "written"),
    [("highest", "{highest,highest}"), ("high", "{high,high}"), ("fast", None)],
)
def test_every_product_has_the_precision_asked_for(precision: str, written: str | None) -> None:
    """Those of derivatives, too; on a GPU the default is TF32."""
    types = [vector(8, dtype="float32"), vector(8, 8, dtype="float32")]
    inner = function(
        types,
        node("matmul", [1, 0], 2),
        node("tanh", [2], 3),
        node("matmul", [3, 0], 4),
        results=[4],
    )
    outer = function(types, node("grad", [0, 1], 2, 3, functions=[0]), results=[3])
    text = _compiled(program(inner, outer), precision=precision)._call.as_text()
    products = [line for line in text.splitlines() if " dot(" in line]
    assert products
    for line in products:
        assert (f"operand_precision={written}" in line) == (written is not None), line


def test_what_a_run_takes_is_known_beforehand() -> None:
    """From the compiler, with the bytes."""
    side = 64
    body = function([vector(side, side)], node("matmul", [0, 0], 1), results=[1])
    cost = _compiled(program(body)).cost
    assert cost.peak_bytes >= 2 * side * side * 8
    assert cost.flops >= 2 * side**3
    assert 0 < cost.compile_seconds < 60


def test_what_jax_does_not_offer_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it has no derivative of an op; the caller gets no internals."""

    def refuse(x: Any) -> Any:
        raise NotImplementedError("Differentiation rule for 'secret' not implemented")

    monkeypatch.setitem(compiler.LOWERINGS, "tanh", refuse)
    with pytest.raises(UnsupportedError) as caught:
        _compiled(TANH)
    assert "secret" not in caught.value.message


def test_too_deep_a_nesting_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than a fault of the server."""

    def recurse(x: Any) -> Any:
        return recurse(x)

    monkeypatch.setitem(compiler.LOWERINGS, "tanh", recurse)
    with pytest.raises(UnsupportedError, match="nested too deeply"):
        _compiled(TANH)
