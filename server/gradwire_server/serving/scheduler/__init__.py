"""When a program may run: places, device memory, and runs whose callers have gone.

``Scheduler`` and ``Runs`` are what others use; they know neither gRPC nor what a program
computes.
"""

from gradwire_server.serving.scheduler.runs import Run, Runs
from gradwire_server.serving.scheduler.scheduler import Scheduler

__all__ = ["Run", "Runs", "Scheduler"]
