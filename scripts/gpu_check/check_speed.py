"""Times of calls beside local JAX, measured in a process of its own."""

from __future__ import annotations

import os

from gpu_check.machine import Machine
from gpu_check.report import Figures, as_check
from gpu_check.servers import Server


def small_calls(machine: Machine, server: Server) -> Figures:
    """Small calls give what local JAX gives; their times, and the ratio to local ones."""
    return _measure(machine, server, "small_calls")


def training_step(machine: Machine, server: Server) -> Figures:
    """So does a step of training, with weights that travel both ways."""
    return _measure(machine, server, "training_step")


def _measure(machine: Machine, server: Server, task: str) -> Figures:
    figures: Figures = machine.work("speed_worker", task, server.target)
    return {**figures, "load": os.getloadavg()[0]}


CHECKS = [as_check(small_calls), as_check(training_step)]
