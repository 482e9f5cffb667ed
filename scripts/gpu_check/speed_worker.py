"""Times calls of a server and of local JAX in turn: `python -m gpu_check.speed_worker TASK TARGET`.

Prints one line of JSON. Both sides get NumPy arrays and give NumPy arrays.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradwire as gw
from gpu_check.samples import mlp_arguments, mlp_loss
from gradwire_server.jax_setup import set_up_jax

_MAX_CALLS = 1000
_MAX_SECONDS = 10.0
_WARM_UP = 20


def small_calls(connection: gw.Connection) -> dict[str, float]:
    """Measures the gradient of Σ sin x at 32 elements."""
    x = np.linspace(-1.0, 1.0, 32, dtype=np.float32)
    prepared = gw.prepare(gw.grad(lambda x: np.sum(np.sin(x))), x, connection=connection)
    local = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(x))))
    return _compare(lambda: prepared(x), lambda: np.asarray(local(x)))


def training_step(connection: gw.Connection) -> dict[str, float]:
    """Measures loss and gradient of an MLP 256-512-512-10 at 128 rows."""
    arguments = mlp_arguments(128, 256, 512, 512, 10)
    prepared = gw.prepare(gw.value_and_grad(mlp_loss), *arguments, connection=connection)
    step = jax.jit(jax.value_and_grad(lambda p, x, y: mlp_loss(p, x, y, jnp)))
    held = jax.device_put(arguments)

    def local() -> Any:
        return jax.tree.map(np.asarray, step(*arguments))

    figures = _compare(lambda: prepared(*arguments), local)
    times = [_seconds(lambda: jax.block_until_ready(step(*held))) for _ in range(_WARM_UP)]
    return {**figures, "local_with_held_weights_us": 1e6 * float(np.median(times))}


def _compare(ours: Callable[[], Any], local: Callable[[], Any]) -> dict[str, float]:
    """Calls both in turn; returns percentiles, and their ratios."""
    for got, wanted in zip(jax.tree.leaves(ours()), jax.tree.leaves(local()), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)
    times = _times_in_turn([ours, local])
    figures: dict[str, float] = {"calls": len(times[0])}
    for percent in (50, 99):
        of_ours, of_local = (1e6 * float(np.percentile(seconds, percent)) for seconds in times)
        figures[f"p{percent}_us"] = of_ours
        figures[f"local_p{percent}_us"] = of_local
        figures[f"ratio_of_p{percent}"] = of_ours / of_local
    return figures


def _times_in_turn(calls: Sequence[Callable[[], Any]]) -> list[list[float]]:
    """Returns the seconds of each call after a warm-up, until there are enough or time is up."""
    times: list[list[float]] = [[] for _ in calls]
    end = time.monotonic() + _MAX_SECONDS
    while len(times[0]) < _WARM_UP + _MAX_CALLS and time.monotonic() < end:
        for call, seconds in zip(calls, times, strict=True):
            seconds.append(_seconds(call))
    return [seconds[_WARM_UP:] for seconds in times]


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


TASKS = {task.__name__: task for task in (small_calls, training_step)}

if __name__ == "__main__":
    set_up_jax()
    with jax.default_matmul_precision("highest"), gw.connect(sys.argv[2]) as opened:
        print(json.dumps(TASKS[sys.argv[1]](opened)))
