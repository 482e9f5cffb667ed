"""The cost of running the Python function again in an implicit call."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from models import apply_mlp, make_params

import gradwire as gw
from gradwire.evaluate import trace_entry

CALLS = 200


def median_us(call: Callable[..., Any], *args: Any) -> float:
    """Returns the median time of a call in µs."""
    times = []
    for _ in range(CALLS + 10):
        start = time.perf_counter()
        call(*args)
        times.append(1e6 * (time.perf_counter() - start))
    return statistics.median(times[10:])


def main() -> None:
    """Prints the table."""
    rng = np.random.default_rng(1)
    params = make_params()
    x = rng.standard_normal(32).astype(np.float32)
    xs, vs = rng.standard_normal((2, 64, 32)).astype(np.float32)

    def energy(x: Any) -> Any:
        return np.sum(apply_mlp(params, x) ** 2)

    def sliced_loss(params: Any, x: Any, v: Any) -> Any:
        s, jv = gw.jvp(lambda x: apply_mlp(params, x), (x,), (v,))
        return v @ jv + 0.5 * (v @ s) ** 2

    def loss(params: Any, xs: Any, vs: Any) -> Any:
        return np.mean(gw.vmap(sliced_loss, in_axes=(None, 0, 0))(params, xs, vs))

    cases = [
        ("grad of |MLP|²", gw.grad(energy), (x,)),
        ("value_and_grad of a loss with a jvp", gw.value_and_grad(loss), (params, xs, vs)),
    ]
    print(f"median of {CALLS} calls in µs\n")
    print(f"{'':38}{'tracing':>9}{'implicit':>10}{'prepared':>10}")
    with gw.local() as connection:
        for name, function, args in cases:
            prepared = gw.prepare(function, *args, connection=connection)
            times = [
                median_us(trace_entry, function, args, {}),
                median_us(function, *args),
                median_us(prepared, *args),
            ]
            print(f"{name:38}{times[0]:9.0f}{times[1]:10.0f}{times[2]:10.0f}")
