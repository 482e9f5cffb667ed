"""Checks of the device's memory: bounds, allocation failures, figures, and who takes it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import gradwire as gw
from gpu_check.machine import Machine
from gpu_check.report import FailedError, Figures, NotSeen, as_check
from gpu_check.servers import (
    Server,
    device_bytes_by_pid,
    device_bytes_used,
    resident_bytes,
    variable_of,
)
from gradwire.evaluate import trace_entry

MIB = 2**20
BOUND_BYTES = 64 * MIB
"""`max_device_bytes` of the server that is asked for more."""
POOL_BYTES = 2048 * MIB
"""What the server takes of a GPU whose memory is to run out."""

_PREALLOCATES = "XLA_PYTHON_CLIENT_PREALLOCATE"
_SHARES = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
"""The names that JAX knows, of which only one may be set; the second is the older."""
_DEFAULT_SHARE = 0.75
_SLACK_BYTES = 8 * MIB
_COMPILER_BYTES = 2048 * MIB
_CALIBRATION_TURNS = 50
_SIN_HALF = np.sin(0.5)


class LoopPlan:
    """A prepared program that holds memory for as long as it is told to.

    Its result has a closed form: x ↦ x·rate + 1 tends to 1 / (1 − rate) from anywhere.
    """

    def __init__(self, connection: gw.Connection, elements: int, rate: float) -> None:
        self._connection = connection
        self._limit = 1.0 / (1.0 - rate)

        def repeat(turns: Any, start: Any) -> Any:
            first = start + gw.ops.iota(dtype=np.float32, shape=(elements,))
            last = gw.fori_loop(np.int64(0), turns, lambda _, x: x * np.float32(rate) + 1, first)
            return np.max(last), np.min(last)

        example = (np.int64(1), np.float32(0.0))
        self._program = trace_entry(repeat, example, {}, float_dtype=None).data
        self.peak_bytes = int(connection.prepare(self._program).peak_bytes)

    def run(self, turns: int) -> Any:
        """Runs it, checks the result, and returns where the server spent its time."""
        inputs = [np.array(turns), np.array(0.0, np.float32)]
        reply = self._connection.compute(self._program, inputs)
        for output in reply.outputs if turns >= _CALIBRATION_TURNS else ():
            np.testing.assert_allclose(output, self._limit, rtol=1e-5)
        return reply.timing


def over_the_bound(machine: Machine, server: Server) -> Figures:
    """A program over `max_device_bytes` is refused with OutOfMemoryError, and others go on."""
    with gw.connect(server.target) as connection:
        pid = server.pid
        refusal = _refusal(lambda: LoopPlan(connection, BOUND_BYTES // 4, 0.5))
        if refusal.metadata.get("limit") != "max_device_bytes":
            raise FailedError(f"it was refused for another reason: {refusal}")
        _expect_service(server, connection, pid)
    return {"allowed": BOUND_BYTES, "asked": int(refusal.metadata["got"])}


def memory_runs_out(machine: Machine, server: Server) -> Figures:
    """An allocation that fails on the device is OutOfMemoryError, and the server lives on."""
    with gw.connect(server.target) as connection:
        pid = server.pid
        before = LoopPlan(connection, MIB, 0.5)
        refusal = _refusal(lambda: LoopPlan(connection, 2 * POOL_BYTES // 4, 0.5).run(100))
        if "limit" in refusal.metadata:
            raise FailedError(f"a bound has refused it, and not the device: {refusal}")
        before.run(100)
        _expect_service(server, connection, pid)
    return {"memory_mib": POOL_BYTES // MIB, "said": refusal.message}


def scarce_memory(machine: Machine) -> tuple[list[str], dict[str, str]]:
    """Returns flags and variables of a server that has little of the device and no bound."""
    limit = machine.device["limit_bytes"]
    name = next((name for name in _SHARES if os.environ.get(name)), _SHARES[-1])
    share = float(os.environ.get(name) or _DEFAULT_SHARE) * POOL_BYTES / limit
    flags = ["--max-device-bytes", str(2**44), "--max-tensor-bytes", str(2**40)]
    return flags, {name: f"{share:.6f}"}


def _refusal(call: Callable[[], Any]) -> gw.OutOfMemoryError:
    try:
        call()
    except gw.OutOfMemoryError as error:
        return error
    raise FailedError("it was not refused")


def _expect_service(server: Server, connection: gw.Connection, pid: int) -> None:
    got = gw.remote(np.sin, connection=connection)(np.float64(0.5))
    if not abs(got - _SIN_HALF) < 1e-15:
        raise FailedError(f"a call after it is wrong: {got}")
    if server.pid != pid:
        raise FailedError(f"it has cost the server: {server.last_words()}")


def plans_beside_each_other(machine: Machine, server: Server) -> Figures:
    """Plans that fit the memory together run at once; those that don't, one after the other."""
    with gw.connect(server.target) as connection:
        trial = LoopPlan(connection, MIB, 0.5)
        scale = MIB / trial.peak_bytes
        small = [LoopPlan(connection, int(scale * BOUND_BYTES / 8), r) for r in (0.5, 0.25)]
        large = [LoopPlan(connection, int(scale * BOUND_BYTES * 0.75), r) for r in (0.5, 0.25)]
        if not all(BOUND_BYTES / 2 < plan.peak_bytes <= BOUND_BYTES for plan in large):
            raise FailedError(f"they need {[plan.peak_bytes for plan in large]}, not as planned")
        seconds = 0.25 if machine.quick else 0.5
        together = _run_together(small, seconds)
        apart = _run_together(large, seconds)
    figures: Figures = {
        "small_mib": max(plan.peak_bytes for plan in small) / MIB,
        "waited_share": max(t.queue_seconds for t in together) / _shortest(together),
        "large_mib": max(plan.peak_bytes for plan in large) / MIB,
        "waited_share_of_large": max(t.queue_seconds for t in apart) / _shortest(apart),
    }
    if float(figures["waited_share_of_large"]) < 0.5:
        raise FailedError("those that don't fit together ran at the same time", **figures)
    if float(figures["waited_share"]) > 0.25:
        raise FailedError("those that fit together waited for each other", **figures)
    return figures


def _run_together(plans: Sequence[LoopPlan], seconds: float) -> list[Any]:
    """Runs each for about so long, both at once; returns where the server spent its time."""
    plans[0].run(_CALIBRATION_TURNS)
    turn = max(plan.run(_CALIBRATION_TURNS).execute_seconds for plan in plans) / _CALIBRATION_TURNS
    turns = max(int(seconds / turn), _CALIBRATION_TURNS)
    barrier = threading.Barrier(len(plans))

    def run(plan: LoopPlan) -> Any:
        barrier.wait()
        return plan.run(turns)

    with ThreadPoolExecutor(len(plans)) as pool:
        return list(pool.map(run, plans))


def _shortest(timings: Sequence[Any]) -> float:
    return min(float(timing.execute_seconds) for timing in timings)


def memory_figures(machine: Machine) -> Figures:
    """Programs take no more of the device's memory than `peak_bytes` says."""
    if not machine.has_gpu:
        raise NotSeen("JAX keeps no statistics of a processor's memory")
    folder = str(machine.folder / "measured")
    machine.work("workers", "compile_measured", folder)
    plain = machine.work("workers", "measure_plain", folder)
    solvers = machine.work("workers", "measure_solvers", folder)
    figures: Figures = {}
    for name, (said, taken) in (plain | solvers).items():
        figures[f"{name}_said_mib"] = said / MIB
        figures[f"{name}_taken_mib"] = taken / MIB
    over = [n for n, (said, taken) in plain.items() if taken > 1.05 * said + _SLACK_BYTES]
    if over:
        raise FailedError(f"more was taken than said by {', '.join(over)}", **figures)
    # The solvers' libraries have workspaces of their own, so theirs are figures alone.
    return figures


def memory_of_compilers(machine: Machine, server: Server) -> Figures:
    """Compilers leave the device's memory to the server: they take none in advance."""
    compilers = server.compiler_pids()
    if not compilers:
        raise FailedError("the server has no compilers")
    if wrong := [pid for pid in compilers if variable_of(pid, _PREALLOCATES) != "false"]:
        raise FailedError(f"{len(wrong)} of {len(compilers)} compilers don't have {_PREALLOCATES}")
    figures: Figures = {
        "compilers": len(compilers),
        "resident_mib": max(resident_bytes(pid) for pid in compilers) // MIB,
        "server_resident_mib": resident_bytes(server.pid) // MIB,
    }
    if not machine.has_gpu:
        raise NotSeen("only their environment was looked at: there is no GPU", **figures)
    by_pid = device_bytes_by_pid()
    if server.pid in by_pid:
        taken = [by_pid.get(pid, 0) for pid in compilers]
        figures["server_device_mib"] = by_pid[server.pid] // MIB
        figures["compilers_device_mib"] = " ".join(str(size // MIB) for size in taken)
        allowed = _COMPILER_BYTES
    else:
        used = device_bytes_used()
        if used is None or not machine.used_bytes:
            raise NotSeen("nvidia-smi says nothing of the device's memory", **figures)
        # Contexts of all processes, and what compilers hold beside them.
        taken = [used[0] - machine.used_bytes - machine.device["limit_bytes"]]
        figures["beside_the_servers_pool_mib"] = taken[0] // MIB
        allowed = _COMPILER_BYTES * (len(compilers) + 1)
    if max(taken) > allowed:
        raise FailedError("they take more than they need to compile", **figures)
    return figures


FIGURES = as_check(memory_figures)
COMPILERS = as_check(memory_of_compilers)
BOUND = as_check(over_the_bound)
BESIDE = as_check(plans_beside_each_other)
SCARCE = as_check(memory_runs_out)
