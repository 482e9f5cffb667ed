"""Runs the checks in order: first what needs no server, then what each server is for."""

from __future__ import annotations

import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gradwire as gw
from gpu_check import check_memory, check_numbers, check_processes, check_speed
from gpu_check.machine import END_SECONDS, Machine
from gpu_check.report import (
    FAILED,
    Check,
    FailedError,
    Figures,
    Result,
    as_check,
    as_json,
    carry_out,
    counts,
    leave_out,
    table_head,
    table_row,
)
from gpu_check.servers import Server, device_bytes_used

_NO_TIME = "there was no time left for it"
_BOUND = ["--max-device-bytes", str(check_memory.BOUND_BYTES), "--max-executions", "4"]


def device(machine: Machine) -> Figures:
    """JAX finds the device that was asked for."""
    machine.device = machine.work("workers", "describe_device", str(machine.folder))
    if machine.platform not in ("any", machine.device["platform"]):
        raise FailedError(f"JAX finds {machine.device['platform']}, not {machine.platform}")
    figures: Figures = {name: machine.device[name] for name in ("platform", "kind")}
    if machine.has_gpu:
        figures["compute_capability"] = machine.device["capability"]
        figures["memory_mib"] = machine.device["limit_bytes"] >> 20
    return figures


class Run:
    """All results of a run, each printed when it is there."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.results: list[Result] = []

    def add(self, result: Result) -> None:
        """Keeps and prints a result."""
        self.results.append(result)
        print(table_row(result), flush=True)

    def make(self, checks: Sequence[Check], *more: Any) -> None:
        """Makes checks, one after the other, as long as there is time."""
        for check in checks:
            if self.machine.is_late:
                self.add(leave_out(check, _NO_TIME, FAILED))
            else:
                self.add(carry_out(check, self.machine, *more))

    def make_on_server(
        self, first: Check, others: Sequence[Check], start: Callable[[], Server]
    ) -> None:
        """Makes checks on a server; if it doesn't start, the first of them has failed."""
        if self.machine.is_late:
            self.make([first, *others])
            return
        with ExitStack() as stack:
            servers: list[Server] = []

            def started(*_: Any) -> Figures:
                servers.append(stack.enter_context(start()))
                return first.run(self.machine, servers[0])

            self.add(carry_out(Check(first.name, started, first.promise), self.machine))
            if servers:
                self.make(others, servers[0])
            else:
                for check in others:
                    self.add(leave_out(check, "the server did not start"))


def make_all(run: Run) -> None:
    """Makes all checks, or the quick ones."""
    machine = run.machine
    run.make([as_check(device)])
    if run.results[0].status == FAILED:
        return
    machine.used_bytes = (device_bytes_used() or (0, 0))[0]
    run.make([check_processes.MOVED])
    if machine.quick:
        checks = [*check_numbers.CHECKS, check_memory.BOUND, check_processes.RESTART]
        run.make_on_server(
            check_processes.SELF_TEST, checks, lambda: _server(machine, "quick", *_BOUND)
        )
        return
    run.make([check_memory.FIGURES])
    checks = [*check_numbers.CHECKS, check_numbers.HOSTED, check_memory.COMPILERS]
    checks += [*check_speed.CHECKS, check_processes.RESTART]
    run.make_on_server(check_processes.SELF_TEST, checks, lambda: _server(machine, "usual"))
    run.make_on_server(
        check_memory.BOUND, [check_memory.BESIDE], lambda: _server(machine, "bounded", *_BOUND)
    )
    if machine.has_gpu:
        flags, variables = check_memory.scarce_memory(machine)
        run.make_on_server(
            check_memory.SCARCE, [], lambda: _server(machine, "scarce", *flags, **variables)
        )
    else:
        why = "a processor's memory is the machine's: the system would end a process first"
        run.add(leave_out(check_memory.SCARCE, why))


def _server(machine: Machine, name: str, *flags: str, **environment: str) -> Server:
    usual = ["--platform", machine.device["platform"], "--max-compile-seconds", "60"]
    return Server(machine.folder / name, *usual, *flags, **environment)


def _end(number: int, _: object) -> None:
    """Leaves through every block, so that no server is left."""
    sys.exit(128 + number)


def _time_is_up(*_: object) -> None:
    raise TimeoutError("the time for all checks is over")


def run_checks(wanted: str, *, quick: bool, json_file: str | None) -> int:
    """Makes all checks and prints them; returns the exit status, 1 if one has failed.

    Args:
        wanted: The platform that JAX is to find, or ``any``.
        quick: Whether only a part is to be checked.
        json_file: Where to write the report as JSON; None for nowhere.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gw-", dir="/tmp") as folder:
        run = Run(Machine(Path(folder), wanted, quick))
        print(f"gradwire {gw.__version__} on Python {platform.python_version()}")
        print(f"\n{table_head()}", flush=True)
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGALRM, _time_is_up)
        signal.alarm(END_SECONDS)
        make_all(run)
        signal.alarm(0)
    seconds = time.monotonic() - start
    found = run.machine.device
    about = {
        "gradwire": gw.__version__,
        "python": platform.python_version(),
        **found,
        "cores": len(os.sched_getaffinity(0)),
        "quick": quick,
        "seconds": seconds,
    }
    versions = ", ".join(f"{name} {found[name]}" for name in ("jax", "jaxlib") if name in found)
    print(f"\n{counts(run.results)} in {seconds:.0f} s; {versions}")
    if json_file is not None:
        Path(json_file).write_text(as_json(about, run.results), encoding="utf-8")
    return int(any(result.status == FAILED for result in run.results))
