"""The model of the measurements: an MLP 32-128-128-32 in float32."""

from types import ModuleType
from typing import Any

import numpy as np

WIDTHS = (32, 128, 128, 32)


def make_params() -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns weights and biases, layer by layer."""
    rng = np.random.default_rng(0)
    shapes = zip(WIDTHS[1:], WIDTHS[:-1], strict=True)
    return [
        ((rng.standard_normal((m, n)) / np.sqrt(n)).astype(np.float32), np.zeros(m, np.float32))
        for m, n in shapes
    ]


def apply_mlp(params: Any, x: Any, numpy: ModuleType = np) -> Any:
    """Returns the network's value at one row; ``numpy`` may be ``jax.numpy``."""
    *hidden, (w, b) = params
    for weight, bias in hidden:
        x = numpy.tanh(weight @ x + bias)
    return w @ x + b
