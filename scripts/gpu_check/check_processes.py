"""Checks of what goes from one process to another: executables, and service after a death."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import gradwire as gw
from gpu_check.machine import Machine
from gpu_check.report import FailedError, Figures, as_check
from gpu_check.samples import definite, mlp_arguments, mlp_loss
from gpu_check.servers import Server

_BACK_SECONDS = 90.0
_PAUSE_SECONDS = 0.02
_DEATH_SECONDS = 0.2
"""By then the server that was killed answers no more."""


def executables_of_another_process(machine: Machine) -> Figures:
    """What one process has compiled and stored another loads and runs, bitwise equal."""
    folder = str(machine.folder / "moved")
    compiled = machine.work("workers", "compile_moved", folder)
    loaded = machine.work("workers", "load_moved", folder)
    figures: Figures = {
        "executables": loaded["executables"],
        "slowest_load_ms": 1000 * float(loaded["slowest_load"]),
        "compile_seconds": float(compiled["seconds"]),
    }
    if compiled["unsteady"]:
        figures["not_repeatable"] = ", ".join(compiled["unsteady"])
    if wrong := set(loaded["different"]) - set(compiled["unsteady"]):
        raise FailedError(f"different bytes: {', '.join(sorted(wrong))}", **figures)
    return figures


def self_test(machine: Machine, server: Server) -> Figures:
    """A server starts under its supervisor and passes its self-test, or it would take no calls."""
    with gw.connect(server.target) as connection:
        device = connection.info().devices[0]
    if device.platform != machine.device["platform"]:
        raise FailedError(f"it computes on {device.platform}: {device.kind}")
    return {"start_seconds": server.start_seconds, "device_mib": device.memory_bytes >> 20}


def service_after_a_kill(machine: Machine, server: Server) -> Figures:
    """After kill -9 the next server answers from disk, compiles nothing, and bitwise the same."""
    matrix, (params, x, y) = definite(12), mlp_arguments(16, 16, 32, 4)
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (gw.grad(lambda a: np.linalg.slogdet(a)[1]), (matrix,)),
        (gw.grad(mlp_loss), (params, x, y)),
    ]
    with gw.connect(server.target, timeout=5.0) as connection:
        remote = [(gw.remote(f, connection=connection), arguments) for f, arguments in calls]
        wanted = [_bytes_of(f(*arguments)) for f, arguments in remote]
        before = server.pid
        os.kill(before, signal.SIGKILL)
        start = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            ready = pool.submit(_seconds_until_ready, server, start)
            got = [_answer(f, arguments, start) for f, arguments in remote[:1]]
            seconds = time.monotonic() - start
        got += [_bytes_of(f(*arguments)) for f, arguments in remote[1:]]
    figures: Figures = {
        "ready_after_seconds": ready.result(),
        "answer_after_seconds": seconds,
        "first_start_seconds": server.start_seconds,
        "loaded": int(server.metric("gradwire_executables_loaded_total")),
        "compiled": int(server.metric("gradwire_executables_compiled_total")),
        "restarts": int(server.metric("gradwire_server_restarts")),
    }
    if server.pid in (0, before):
        raise FailedError("there is no other server", **figures)
    if got != wanted:
        raise FailedError("its answers have other bytes", **figures)
    if (figures["loaded"], figures["compiled"], figures["restarts"]) != (2, 0, 1):
        raise FailedError("it has not used what is on disk, or died more than once", **figures)
    return figures


def _seconds_until_ready(server: Server, start: float) -> float:
    """Returns when the next server takes calls, if it is there in time."""
    time.sleep(_DEATH_SECONDS)
    while not server.is_ready() and time.monotonic() - start < _BACK_SECONDS:
        time.sleep(_PAUSE_SECONDS)
    return time.monotonic() - start


def _answer(function: Any, arguments: tuple[Any, ...], start: float) -> list[bytes]:
    """Returns the bytes of the first answer that comes."""
    while True:
        try:
            return _bytes_of(function(*arguments))
        except (gw.UnavailableError, gw.DeadlineError) as error:
            if time.monotonic() - start > _BACK_SECONDS:
                raise FailedError(f"no answer after {_BACK_SECONDS:g} s: {error}") from error
            time.sleep(_PAUSE_SECONDS)


def _bytes_of(tree: Any) -> list[bytes]:
    if isinstance(tree, list | tuple):
        return [data for part in tree for data in _bytes_of(part)]
    return [np.asarray(tree).tobytes()]


MOVED = as_check(executables_of_another_process)
SELF_TEST = as_check(self_test)
RESTART = as_check(service_after_a_kill)
