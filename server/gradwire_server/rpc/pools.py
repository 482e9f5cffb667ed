"""The pools of a server's services, and how many calls of each it accepts.

A new service is added here, to an existing pool or to one of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from gradwire_server.config.settings import Settings
from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc import health, reflection, service
from gradwire_server.rpc.admission.bounds import Admission, Bound
from gradwire_server.rpc.admission.receive_timeouts import MessageMemory
from gradwire_server.rpc.admission.service_pool import ServicePool
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.scheduler import Scheduler

SIDE_RECEIVE_SECONDS = 10.0
"""How long a message to health or reflection may take to arrive. They are small."""

_SIDE_REPLY_BYTES = 16 * 2**20
"""What replies of theirs that are not read may hold when memory is short."""


def derivative_pool(
    derivatives: service.DerivativeService,
    settings: Settings,
    scheduler: Scheduler,
    memory_is_short: Callable[[], bool],
    watchdog: Watchdog,
    note: Callable[[CallRecord], None],
) -> ServicePool:
    """Makes the pool of the derivative service.

    Computes are refused before they are read while too many are in progress, or while
    the scheduler expects them to wait for too long. When memory is short, so many half-sent
    requests may stay as could be in flight, and half the bytes of replies that are not
    read: gRPC holds these twice.
    """
    spared = settings.max_bytes_in_flight // settings.max_message_bytes
    computes = settings.max_executions + settings.max_waiting_executions
    crowded = Bound("max_wait_percent", settings.max_wait_percent, text="and calls wait for longer")
    admission = Admission(
        Bound("max_calls", settings.max_calls, settings.max_calls),
        {"Compute": Bound("max_waiting_executions", settings.max_waiting_executions, computes)},
        {"Compute": lambda: crowded if scheduler.is_crowded() else None},
    )
    return ServicePool(
        "call",
        [derivatives.handlers()],
        admission,
        settings.max_receive_seconds,
        MessageMemory(spared, settings.max_bytes_in_flight // 2, memory_is_short),
        watchdog,
        note,
        scheduler.expected_wait,
    )


def side_pool(
    health_service: health.Health,
    settings: Settings,
    memory_is_short: Callable[[], bool],
    watchdog: Watchdog,
    note: Callable[[CallRecord], None],
    receive_seconds: float = SIDE_RECEIVE_SECONDS,
) -> ServicePool:
    """Makes the pool of gRPC's own services: health and reflection.

    Health needs no token, so that every client that reaches the port can call it. One
    setting bounds both services together; long calls, which watch or reflect, get a
    quarter of it for each method, and so leave places for checks. gRPC has one bound on
    the length of all messages, so theirs may be as large as others; none needs to be, and
    when memory is short no half-sent one stays.
    """
    most = settings.max_side_calls
    few = Bound(
        "max_side_calls",
        most,
        max(most // 4, 1),
        "a quarter of which may be of this method, and as many are",
    )
    names = (service.SERVICE_NAME, health.NAME)
    return ServicePool(
        "side",
        [health_service.handlers(), reflection.reflection_handlers(names)],
        Admission(Bound("max_side_calls", most, most), {"Watch": few, reflection.METHOD: few}, {}),
        receive_seconds,
        MessageMemory(0, _SIDE_REPLY_BYTES, memory_is_short),
        watchdog,
        note,
    )
