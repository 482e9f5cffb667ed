"""One-row calls on a prepared plan, beside a bare gRPC call of the same bytes and local JAX.

The unavoidable cost of a remote derivative is a call of that many bytes and the
computation, so ours is compared with their sum. The three take turns, call by
call, in one run; ours and the bare server are processes of their own, each on a
Unix socket.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from echo_server import EchoServer
from models import apply_mlp, make_params

import gradwire as gw
from gradwire.transport.grpc import Channel
from gradwire.transport.options import check_options
from gradwire.v1 import service_pb2

TARGET = 1.15
CALLS = 2000
WARM_UP = 200
STAGES = ("validate", "queue", "execute", "serialise")


@dataclass
class Case:
    """One derivative: for gradwire, by JAX in this process, and its arguments."""

    name: str
    function: Callable[..., Any]
    local: Callable[..., Any]
    args: tuple[Any, ...]


def make_cases() -> list[Case]:
    """Returns what is measured."""
    rng = np.random.default_rng(1)
    params = make_params()
    x, u = rng.standard_normal((2, 32)).astype(np.float32)

    def pull(x: Any, u: Any) -> Any:
        return gw.vjp(lambda x: apply_mlp(params, x), (x,), u)

    def pull_all(params: Any, x: Any, u: Any) -> Any:
        return gw.vjp(apply_mlp, (params, x), u)

    @jax.jit
    def pull_locally(params: Any, x: Any, u: Any) -> Any:
        value, back = jax.vjp(lambda x: apply_mlp(params, x, jnp), x)
        return value, back(u)

    @jax.jit
    def pull_all_locally(params: Any, x: Any, u: Any) -> Any:
        value, back = jax.vjp(lambda params, x: apply_mlp(params, x, jnp), params, x)
        return value, back(u)

    return [
        Case(
            "grad of Σ sin(x), 32 elements",
            gw.grad(lambda x: np.sum(np.sin(x))),
            jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(x)))),
            (x,),
        ),
        # Captured weights are inputs: they travel with every call.
        Case("vjp of the MLP", pull, lambda x, u: pull_locally(params, x, u), (x, u)),
        Case("the same, by weights too", pull_all, pull_all_locally, (params, x, u)),
    ]


class Recorder:
    """A transport that keeps the bytes of the last call, and the server's own times."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.request = b""
        self.answer = b""
        self.timings: list[Any] = []
        self._channel = Channel(target)
        self.close = self._channel.close

    def attempt(self, call: Any, method: str, request: bytes, seconds: float) -> Any:
        """Calls once."""
        answer = self._channel.attempt(call, method, request, seconds)
        if method == "Compute":
            self.request, self.answer = request, answer
            self.timings.append(service_pb2.ComputeResponse.FromString(answer).timing)
        return answer


def record(case: Case, target: str) -> Recorder:
    """Makes some calls; returns the recorder of them."""
    recorder = Recorder(target)
    with gw.Connection(recorder, check_options()) as connection:
        prepared = gw.prepare(case.function, *case.args, connection=connection)
        for _ in range(WARM_UP):
            prepared(*case.args)
    return recorder


def time_in_turn(calls: list[Callable[[], Any]]) -> list[list[float]]:
    """Returns the seconds of each call, the calls taking turns."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(WARM_UP + CALLS):
        for call, seconds in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if turn >= WARM_UP:
                seconds.append(time.perf_counter() - start)
    return times


def measure(case: Case, connection: gw.Connection, echo: EchoServer) -> None:
    """Prints one case's lines."""
    prepared = gw.prepare(case.function, *case.args, connection=connection)
    seen = record(case, connection.target)
    echo.keep(seen.answer)
    assert echo.call(seen.request) == seen.answer
    got = jax.tree.leaves(prepared(*case.args))
    wanted = jax.tree.leaves(case.local(*case.args))
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-5)
    times = time_in_turn(
        [
            lambda: prepared(*case.args),
            lambda: echo.call(seen.request),
            lambda: jax.tree.map(np.asarray, case.local(*case.args)),
        ]
    )
    ours, bare, local = (1e6 * statistics.median(t) for t in times)
    ratio = ours / (bare + local)
    print(
        f"{case.name:32}{len(seen.request):8}{len(seen.answer):8}"
        f"{ours:9.0f}{bare:9.0f}{local:9.0f}{ratio:9.2f}"
    )
    stages = [
        1e6 * statistics.median(getattr(t, f"{stage}_seconds") for t in seen.timings)
        for stage in STAGES
    ]
    parts = ", ".join(f"{s} {us:.0f}" for s, us in zip(STAGES, stages, strict=True))
    print(f"    the server's own {sum(stages):.0f} µs: {parts}")


def main() -> None:
    """Prints the table."""
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # faster for small calls
    print(f"median of {CALLS} calls in µs; target of the ratio: {TARGET}\n")
    print(f"{'':32}{'sent B':>8}{'got B':>8}{'ours':>9}{'bare':>9}{'local':>9}{'ratio':>9}")
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        EchoServer(f"unix:{folder}/s") as echo,
        gw.local() as connection,
    ):
        for case in make_cases():
            measure(case, connection, echo)
    print("\nratio = ours / (bare + local)")
