"""When a program may run: places, device memory, and runs that nobody waits for any more.

``Scheduler`` is what others use; it knows neither gRPC nor what a program computes.
"""

from gradwire_server.serving.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
