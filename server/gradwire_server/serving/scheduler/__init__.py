"""When a program may run: places, device memory, and runs whose callers have gone.

``Scheduler`` is what others use; it knows neither gRPC nor what a program computes.
"""

from gradwire_server.serving.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
