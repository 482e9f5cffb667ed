"""Programs as they are traced: dtypes that the caller asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradwire_server.program.verify import verify_program
from tracing import M, trace


def test_float_dtype_pins_every_floating_value() -> None:
    """With float32 asked for, nothing in the program is double precision."""

    def f(x: Any, k: Any) -> Any:
        y = np.mean(k) + np.linalg.inv(x @ x.T) @ np.ones(3) / np.float64(2)
        y = y.astype(float) + np.linspace(0, k[0], 3) + np.interp(y, np.arange(3.0), y)
        return y, np.fft.fft(k), np.full_like(y, 1, dtype=np.float64), np.cov(x)

    traced = trace(f, M, np.arange(3), float_dtype=np.dtype(np.float32))
    types = verify_program(traced.program).infos[-1].types.values()
    assert {t.dtype.name for t in types} <= {"float32", "complex64", "int64", "int32", "bool"}
