"""Executables are loaded from bytes, and run."""

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

from gradwire.errors import OutOfMemoryError
from gradwire.ir import encode_program
from gradwire_server.artifact import Cost
from gradwire_server.compiler.compile import compile_program
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.runtime.executable import Executable, load_executable
from programs import function, node, program, vector

TANH = program(function([vector(3), vector(2)], node("tanh", [0], 2), results=[2, 2]))
COMPILE = """
import sys
from pathlib import Path
from gradwire.ir import encode_program
from gradwire_server.compiler.compile import compile_program
from programs import X, function, node, program, vector

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


@pytest.mark.parametrize("devices", [1, 3])
def test_bytes_are_loaded_by_a_process_that_compiled_nothing(tmp_path: Path, devices: int) -> None:
    """Of which neither knows the other's half; with LAPACK, which needs to be prepared for."""
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
    """Some exception comes, and the process lives."""
    data = compile_program(encode_program(TANH), "highest", NO_BATCH, ())
    for wrong in (b"", data[:3], data[:50], data[: len(data) // 2]):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whichever it is
            load_executable(wrong)


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
