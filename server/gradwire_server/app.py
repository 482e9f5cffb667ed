"""Puts the server together, starts it and stops it. The one place that knows every part."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gradwire_server.config.settings import RESERVED_COMPILES, Settings
from gradwire_server.observability.collectors import (
    read_cache,
    read_calls,
    read_plans,
    read_processes,
    read_scheduler,
)
from gradwire_server.observability.http import HttpServer
from gradwire_server.observability.logs import log_calls
from gradwire_server.observability.metrics import Metrics
from gradwire_server.observability.pages import metrics_page, readiness_page
from gradwire_server.observability.recorder import CallRecorder
from gradwire_server.observability.tracing import open_spans
from gradwire_server.process.quarantine import QuarantinedPlans
from gradwire_server.process.run_journal import RunJournal
from gradwire_server.process.supervision import Supervision
from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc.auth.guard import Guard
from gradwire_server.rpc.health import Health
from gradwire_server.rpc.pools import derivative_pool, side_pool
from gradwire_server.rpc.server import GrpcServer
from gradwire_server.rpc.service import SERVICE_NAME, DerivativeService
from gradwire_server.runtime import devices, host_memory
from gradwire_server.runtime.store import open_store
from gradwire_server.self_test import run_self_test
from gradwire_server.serving.compile_pool import CompilePool
from gradwire_server.serving.compilers import open_compilers
from gradwire_server.serving.device_watch import DeviceWatch
from gradwire_server.serving.engine import Engine
from gradwire_server.serving.executable_maker import ExecutableMaker, unnoted
from gradwire_server.serving.lifecycle import Lifecycle
from gradwire_server.serving.plan_cache import PlanCache
from gradwire_server.serving.program_planner import ProgramPlanner
from gradwire_server.serving.refusals import Refusals
from gradwire_server.serving.scheduler import Runs, Scheduler
from gradwire_server.warmup import open_recorder, prepare_records, read_records

_log = logging.getLogger(__name__)

_LAST_SECONDS = 0.5
"""The time that a compile without a caller gets at the end."""


class App:
    """One server: made stopped, started once, stopped once. Also a context manager.

    Attributes:
        settings: How it runs.
        lifecycle: Its state.
        plans: The plans that it holds.
        compile_pool: The threads that compile.
        scheduler: Decides when programs run.
        metrics: What Prometheus can know of it.
        address: Where it serves, as a gRPC target; empty before it does.
    """

    def __init__(
        self,
        settings: Settings,
        end: Callable[[], None] = lambda: None,
        supervision: Supervision | None = None,
    ) -> None:
        """Makes a server; it holds no address yet.

        Args:
            settings: How it is to run.
            end: Called when it is stuck, from another thread; it is to have it stopped, and
                must not wait for that.
            supervision: What its supervisor says, if it has one.

        Raises:
            StartError: the cache directory, or a certificate, key or token can't
                be used, or the device isn't of the platform asked for.
        """
        # What can fail comes first: no thread has been started by then.
        store = open_store(settings)
        program_recorder = open_recorder(settings)
        guard = Guard(settings)
        device = devices.set_up_device(settings.platform)
        probe = devices.DeviceProbe()
        device_bytes = settings.max_device_bytes or device.memory_bytes

        self.settings = settings
        self.address = ""
        past = supervision or Supervision()
        journal = RunJournal(past.journal, settings.max_noted) if supervision else None
        self._watchdog = Watchdog()
        self._recorder = CallRecorder()
        note = self._recorder.add

        # What computes, from the compiler to the engine.
        self._compilers = open_compilers(settings)
        self.compile_pool = CompilePool(
            settings.compile_workers,
            settings.max_waiting_compiles,
            reserved=RESERVED_COMPILES if settings.compiles_apart else 0,
            traces=not settings.compiles_apart,
        )
        self._makings = None if settings.compiles_apart else self._watch_makings(end)
        quarantined = QuarantinedPlans(
            past.quarantined, past.quarantine_file, settings.quarantine_seconds
        )
        refusals = Refusals(quarantined, settings.limits())
        self.scheduler = Scheduler(
            settings, device_bytes, self._watchdog, end, journal, past.suspects
        )
        maker = ExecutableMaker(
            store,
            self._compilers.compile_program,
            refusals=refusals,
            loading=self.scheduler.noting,
            compiling=unnoted if settings.compiles_apart else self.scheduler.noting,
        )
        self.plans = PlanCache(
            self.compile_pool,
            maker,
            max_plans=settings.max_plans,
            max_plan_bytes=settings.max_plan_bytes,
            note=program_recorder.add if program_recorder else None,
            makings=self._makings,
        )
        free_bytes = host_memory.free_bytes if device.platform == "cpu" else lambda: None
        planner = ProgramPlanner(
            self.plans,
            self.compile_pool,
            self._compilers,
            settings.program,
            refusals,
            apart=settings.compiles_apart,
        )
        self._device = DeviceWatch(probe.works, end, journal)
        self._engine = Engine(
            self.plans,
            planner,
            self.scheduler,
            settings,
            self._device,
            device_bytes,
            refusals,
            free_bytes,
        )

        # What is called over the network.
        self.lifecycle = Lifecycle(settings.max_bytes_in_flight)
        self._health = Health()
        derivatives = DerivativeService(
            self._engine, self.lifecycle, settings, guard.identities(), note
        )
        pools = [
            derivative_pool(
                derivatives, settings, self.scheduler, self._memory_is_short, self._watchdog, note
            ),
            side_pool(self._health, settings, self._memory_is_short, self._watchdog, note),
        ]
        self._server = GrpcServer(settings, guard, pools, self.lifecycle, self._health, note)

        # What can be seen of it from outside.
        self.metrics = Metrics(
            readings=[
                *read_calls(self.lifecycle, self._recorder),
                *read_scheduler(self.scheduler),
                *read_plans(self.plans, self.compile_pool),
                *read_cache(store),
                *read_processes(past.restarts, quarantined, self.scheduler, self._compilers),
            ],
            devices=devices.list_devices,
            limits=settings.limits(),
            build={**devices.describe_build(), "replica": settings.replica_id},
        )
        self._spans = open_spans(SERVICE_NAME, settings.replica_id)
        spans = [] if self._spans is None else [self._spans.observe]
        # The log comes last, since it says which trace a call belongs to.
        self._recorder.add_observers(self.metrics.observe, *spans, log_calls)
        self._http = HttpServer(
            settings.metrics,
            metrics=metrics_page(self.metrics, self._recorder),
            ready=readiness_page(self.lifecycle),
        )

    @property
    def metrics_url(self) -> str | None:
        """Where metrics, liveness and readiness are served, if they are."""
        return self._http.url

    @property
    def is_stuck(self) -> bool:
        """Whether it is to end because programs without callers are in the way of others."""
        return self.scheduler.is_stuck or (self._makings is not None and self._makings.are_stuck)

    @property
    def has_lost_device(self) -> bool:
        """Whether it is to end because its device computes nothing any more."""
        return self._device.is_lost

    def start(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Tests this installation, prepares recorded programs, then takes calls.

        Args:
            wanted: Says, while programs are prepared, whether to go on with it.

        Raises:
            StartError: an address can't be bound, a directory can't be read, or
                the self-test fails.
        """
        try:
            self._watchdog.start()
            self._health.set_serving(False, SERVICE_NAME)
            self._http.start()
            records = read_records(self.settings)
            run_self_test(self._compilers.compile_program)
            self.address = self._server.bind()
            self._server.start()  # and refuse calls, until the programs are ready
            prepare_records(self._engine, records, self.settings, wanted)
        except BaseException:
            self.stop(0.0)
            raise
        if not wanted():
            return
        self.lifecycle.serve()
        self._compilers.keep_spare()
        self._health.set_serving(True, SERVICE_NAME)
        _log.info("serving on %s as %s", self.address, self.settings.replica_id)

    def stop(self, grace: float | None = None) -> bool:
        """Refuses new calls, finishes those in flight, and stops.

        Args:
            grace: Seconds that calls in flight are given; None for the setting.

        Returns:
            Whether nothing is being done any more. A compile goes on.
        """
        was_serving = self.lifecycle.leave_rotation()
        self._health.set_serving(False, SERVICE_NAME)
        if was_serving and not (self.is_stuck or self.has_lost_device):
            time.sleep(self.settings.drain_delay)
        idle = self._server.stop(self.settings.grace if grace is None else grace)
        self._compilers.stop()
        done = self.compile_pool.stop(_LAST_SECONDS)
        self._watchdog.stop()
        self._recorder.stop()
        if self._spans is not None:
            self._spans.stop()
        self._http.stop()
        _log.info("stopped")
        return idle and done

    def _watch_makings(self, end: Callable[[], None]) -> Runs:
        """Returns what ends a server all of whose compiles nobody waits for, while others wait."""
        return Runs(
            self.settings.compile_workers,
            self.settings.max_abandoned_seconds,
            self._watchdog,
            end,
            is_needed=lambda since: self.compile_pool.waiting > 0,
            doing="compiles",
        )

    def _memory_is_short(self) -> bool:
        """Returns whether less is free than the requests in flight may take."""
        free = host_memory.free_bytes()
        return free is not None and free < self.settings.max_bytes_in_flight

    def __enter__(self) -> App:
        """Starts it."""
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Stops it."""
        self.stop()


def build(
    settings: Settings,
    end: Callable[[], None] = lambda: None,
    supervision: Supervision | None = None,
) -> App:
    """Makes a server. See ``App``."""
    return App(settings, end, supervision)
