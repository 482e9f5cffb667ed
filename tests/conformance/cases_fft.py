"""Cases of the Fourier family."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.harness import COMPLEX, FLOATS32, INEXACT32, Case, Make, normal


def _one(*shape: int) -> Make:
    return lambda rng, dtype: [normal(rng, dtype, shape)]


def _along(op: str, dtypes: tuple[str, ...]) -> list[Case]:
    """Cases of a transform along one axis: as long as x, cut off, filled up."""
    return [
        Case(f"fft.{op}", _one(*shape), getattr(np.fft, op), dtypes, attrs, name)
        for name, shape, attrs in (
            ("", (2, 6), {"n": 6, "axis": -1, "norm": "backward"}),
            ("cut", (5, 2), {"n": 3, "axis": 0, "norm": "ortho"}),
            ("filled", (2, 3), {"n": 8, "axis": 1, "norm": "forward"}),
            ("odd", (2, 4), {"n": 7, "axis": -1, "norm": "backward"}),
            ("one", (2, 1), {"n": 1, "axis": -1, "norm": "backward"}),
        )
    ]


def _over(op: str, dtypes: tuple[str, ...]) -> list[Case]:
    """Cases of a transform over several axes."""
    cases: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
        ("", (2, 3, 4), {"s": (3, 4), "axes": (1, 2), "norm": "backward"}),
        ("swapped", (3, 2, 4), {"s": (5, 2), "axes": (-1, 0), "norm": "ortho"}),
        ("four", (2, 3, 2, 3), {"s": (2, 3, 2, 4), "axes": (0, 1, 2, 3), "norm": "forward"}),
    ]
    return [
        Case(f"fft.{op}", _one(*shape), getattr(np.fft, op), dtypes, attrs, name)
        for name, shape, attrs in cases
    ]


CASES = (
    *_along("fft", INEXACT32),
    *_along("ifft", INEXACT32),
    *_along("rfft", FLOATS32),
    *_along("irfft", COMPLEX),
    *_over("fftn", INEXACT32),
    *_over("ifftn", INEXACT32),
    *_over("rfftn", FLOATS32),
    *_over("irfftn", COMPLEX),
)
