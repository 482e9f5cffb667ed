"""Programs whose executables go from one process to another, with their inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

import gradwire as gw


@dataclass(frozen=True)
class Sample:
    """A function of arrays, and arguments for it.

    Attributes:
        name: Its name.
        function: What is compiled.
        arguments: Its arguments.
        uses_solver: Whether a library of linear algebra computes it, with memory of its own.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    uses_solver: bool = False


def mlp_loss(params: Any, x: Any, y: Any, numpy: Any = np) -> Any:
    """Returns the mean squared error of a network with tanh between its layers."""
    *hidden, (w, b) = params
    for weight, bias in hidden:
        x = numpy.tanh(x @ weight + bias)
    return numpy.mean((x @ w + b - y) ** 2)


def mlp_arguments(rows: int, *widths: int) -> tuple[Any, ...]:
    """Returns weights, inputs and targets in float32."""
    rng = np.random.default_rng(0)
    params = [
        (
            (rng.standard_normal((m, n)) / np.sqrt(m)).astype(np.float32),
            np.zeros(n, np.float32),
        )
        for m, n in itertools.pairwise(widths)
    ]
    x = rng.standard_normal((rows, widths[0])).astype(np.float32)
    return params, x, rng.standard_normal((rows, widths[-1])).astype(np.float32)


def definite(n: int, batch: tuple[int, ...] = ()) -> np.ndarray:
    """Returns positive definite matrices in float64."""
    x = np.random.default_rng(n).standard_normal((*batch, n, n))
    return x @ np.swapaxes(x, -1, -2) / n + np.eye(n)


def moved_samples() -> list[Sample]:
    """Returns what one process compiles and another runs; each without sums in random order."""
    words = np.random.default_rng(1).standard_normal((16, 16)).astype(ml_dtypes.bfloat16)
    return [
        Sample("gradient of an MLP", gw.grad(mlp_loss), mlp_arguments(32, 32, 64, 64, 8)),
        Sample(
            "gradient of log det",
            gw.grad(lambda a: np.linalg.slogdet(a)[1]),
            (definite(24),),
        ),
        Sample("cholesky and eigh", _factors, (definite(8, (3,)),)),
        Sample("sums of a loop", _looped, (np.linspace(-1.0, 1.0, 64),)),
        Sample("bfloat16 product", np.matmul, (words, words)),
    ]


def measured_samples() -> list[Sample]:
    """Returns programs that need memory, each several times what the one before needs."""
    mib = 2**18  # elements of float32
    x = np.linspace(-1.0, 1.0, 8 * mib, dtype=np.float32)
    return [
        Sample("elementwise", lambda x: np.sin(x) * np.exp(-x), (x,)),
        Sample("softmax", _attention, (np.ones((4096, 64), np.float32),)),
        Sample("MLP step", gw.value_and_grad(mlp_loss), mlp_arguments(16384, 512, 2048, 2048, 64)),
        Sample("solve", np.linalg.solve, (definite(512), np.ones((512, 1))), True),
        Sample("cholesky", np.linalg.cholesky, (definite(1024),), True),
        Sample("eigh", np.linalg.eigh, (definite(1536),), True),
        Sample("svd", np.linalg.svd, (definite(1536),), True),
    ]


def _factors(a: Any) -> Any:
    return np.linalg.cholesky(a), np.linalg.eigvalsh(a)


def _looped(x: Any) -> Any:
    return gw.fori_loop(0, 20, lambda i, total: np.cos(total) + np.cumsum(x), x)


def _attention(x: Any) -> Any:
    scores = x @ x.T
    weights = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    return np.sort(weights / np.sum(weights, axis=1, keepdims=True), axis=1) @ x
