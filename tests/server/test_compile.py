from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from gradwire.errors import OutOfMemoryError, UnsupportedError
from gradwire.ir import encode_program
from gradwire.ir.precision import PRECISIONS
from gradwire.tensors import FROM_WIRE
from gradwire_server.artifact import Cost
from gradwire_server.compiler import compile as compiler
from gradwire_server.compiler.compile import compile_program
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.runtime.executable import Executable, load_executable
from programs import function, node, program, vector

X = np.array([0.5, -1.0, 2.0])
TANH = program(function([vector(3), vector(2)], node("tanh", [0], 2), results=[2, 2]))
COMPILE = """
import sys
from pathlib import Path
from gradwire.ir import encode_program
from gradwire_server.compiler.compile import compile_program
from programs import function, node, program, vector

body = function(
    [vector(2, 2)],
    node("linalg.cholesky", [0], 1),
    node("linalg.slogdet", [0], 2, 3),
    node("linalg.eigvalsh", [0], 4),
    results=[1, 3, 4],
)
Path(sys.argv[1]).write_bytes(compile_program(encode_program(program(body)), "highest", -1, ()))
assert "gradwire_server.runtime.executable" not in sys.modules
"""
LOAD = """
import sys
from pathlib import Path
import numpy as np
from gradwire_server.runtime.executable import load_executable

matrix = np.array([[4.0, 1.0], [1.0, 3.0]])
for output in load_executable(Path(sys.argv[1]).read_bytes())([matrix]):
    print(output.tolist())
assert "gradwire_server.compiler" not in sys.modules
"""


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


@pytest.mark.parametrize("devices", [1, 3])
def test_bytes_are_loaded_by_a_process_that_compiled_nothing(tmp_path: Path, devices: int) -> None:
    """Neither imports the other's half; with LAPACK, which needs a set-up."""
    flag = f"--xla_force_host_platform_device_count={devices}"
    printed = [
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "executable")],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "XLA_FLAGS": flag},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for script in (COMPILE, LOAD)
    ]
    lower, logarithm, eigenvalues = map(ast.literal_eval, printed[1].splitlines())
    matrix = np.array([[4.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix), rtol=1e-14)
    np.testing.assert_allclose(logarithm, np.log(11), rtol=1e-14)
    np.testing.assert_allclose(eigenvalues, np.linalg.eigvalsh(matrix), rtol=1e-14)


def test_bytes_that_are_damaged_are_not_loaded() -> None:
    """Some exception is raised, and the process goes on."""
    data = compile_program(encode_program(TANH), "highest", NO_BATCH, ())
    for wrong in (b"", data[:3], data[:50], data[: len(data) // 2]):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whichever it is
            load_executable(wrong)


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


def test_want_of_memory_is_told_apart() -> None:
    """By the kind that the runtime's text starts with; other errors stay what they are."""

    def fail_with(text: str) -> Any:
        def call(*arguments: Any) -> Any:
            raise jax.errors.JaxRuntimeError(text)

        return Executable(call, Cost(0.0, 0, 0, 0.0), 0)

    with pytest.raises(OutOfMemoryError, match="more memory than the device has"):
        fail_with("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")([])
    with pytest.raises(jax.errors.JaxRuntimeError):
        fail_with("INTERNAL: RESOURCE_EXHAUSTED")([])
