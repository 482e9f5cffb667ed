"""Puts the server together, starts it and stops it. The one place that knows every part."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from grpc_health.v1 import health_pb2

from gradwire_server.config.settings import OFF, Settings
from gradwire_server.observability.collectors import (
    read_cache,
    read_calls,
    read_plans,
    read_scheduler,
)
from gradwire_server.observability.http import HttpServer
from gradwire_server.observability.logs import log_calls
from gradwire_server.observability.metrics import CONTENT_TYPE, Metrics
from gradwire_server.observability.recorder import CallRecorder
from gradwire_server.observability.tracing import open_spans
from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc.auth.guard import Guard
from gradwire_server.rpc.health import Health
from gradwire_server.rpc.info import describe_server
from gradwire_server.rpc.pools import derivative_pool, side_pool
from gradwire_server.rpc.server import make_grpc_server
from gradwire_server.rpc.service import SERVICE_NAME, DerivativeService
from gradwire_server.runtime import devices
from gradwire_server.runtime.store import Store, open_store
from gradwire_server.self_test import run_self_test
from gradwire_server.serving.batching import BatchLimits
from gradwire_server.serving.compile_pool import CompilePool
from gradwire_server.serving.engine import Engine
from gradwire_server.serving.lifecycle import Lifecycle, State
from gradwire_server.serving.plan_cache import PlanCache
from gradwire_server.serving.scheduler import Scheduler
from gradwire_server.start_error import StartError
from gradwire_server.warmup import open_recorder, prepare_records, read_records

_log = logging.getLogger(__name__)

_LAST_SECONDS = 0.5
"""What a compile that nobody waits for gets at the end."""

_HOLD_SECONDS = 0.05
"""Long enough for those who call one after the other to make their next call, and
for clients to hear that the server ends."""

_Health = health_pb2.HealthCheckResponse


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

    def __init__(self, settings: Settings, end: Callable[[], None] = lambda: None) -> None:
        """Makes a server; it holds no address yet.

        Args:
            settings: How it is to run.
            end: Called when it is stuck, from another thread; it is to have it stopped.

        Raises:
            StartError: the cache directory, or a certificate, key or token can't
                be used, or the device isn't of the platform asked for.
        """
        store, recorder = open_store(settings), open_recorder(settings)
        self._guard = Guard(settings)
        devices.set_up_device(settings.platform)
        self.settings = settings
        self.address = ""
        self._watchdog = Watchdog()
        self.lifecycle = Lifecycle(settings.max_bytes_in_flight)
        self.compile_pool = CompilePool(settings.compile_workers, settings.max_waiting_compiles)
        self.plans = PlanCache(
            self.compile_pool,
            store,
            max_plans=settings.max_plans,
            max_plan_bytes=settings.max_plan_bytes,
            note=recorder.add if recorder else None,
        )
        self._device_bytes = settings.max_device_bytes or devices.list_devices()[0].memory_bytes
        self.scheduler = Scheduler(settings, self._device_bytes, self._watchdog, end)
        self.metrics = self._make_metrics(store)
        self._spans = open_spans(SERVICE_NAME, settings.replica_id)
        # The log comes last, since it says which trace a call belongs to.
        observers = [self.metrics.observe, log_calls]
        if self._spans is not None:
            observers.insert(1, self._spans.observe)
        self._recorder = CallRecorder(observers)
        self._http: HttpServer | None = None
        self._health = Health()
        self._engine = self._make_engine()
        derivatives = DerivativeService(
            self._engine,
            self.lifecycle,
            settings,
            info=lambda: describe_server(settings),
            note=self._recorder.add,
        )
        self._pools = [
            derivative_pool(
                derivatives, settings, self.scheduler, self._watchdog, self._recorder.add
            ),
            side_pool(self._health, settings, self._watchdog, self._recorder.add),
        ]
        interceptors = self._guard.interceptors(self._recorder.add)
        self._server = make_grpc_server(settings, interceptors, self._pools)

    @property
    def metrics_url(self) -> str | None:
        """Where metrics, liveness and readiness are served, if they are."""
        return self._http.url if self._http else None

    @property
    def is_stuck(self) -> bool:
        """Whether it is to end because programs that nobody waits for take all places."""
        return self.scheduler.is_stuck

    def start(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Tests this installation, prepares recorded programs, then takes calls.

        Args:
            wanted: Says, while programs are prepared, whether to go on with it.

        Raises:
            StartError: an address can't be bound, a directory can't be read, or
                the self-test fails.
        """
        self._watchdog.start()
        try:
            self._set_health(_Health.NOT_SERVING)
            if self.settings.metrics != OFF:
                self._http = HttpServer(
                    self.settings.metrics, self._metrics_page, self._readiness_page
                )
                self._http.start()
            records = read_records(self.settings)
            run_self_test()
            port = self._guard.add_port(self._server)
        except (OSError, RuntimeError) as error:
            self.stop(0.0)
            raise StartError(str(error)) from error
        except StartError:
            self.stop(0.0)
            raise
        self.address = self.settings.listen
        if not self.address.startswith("unix:"):
            self.address = f"{self.address.rpartition(':')[0]}:{port}"
        self._server.start()  # and refuse calls, until the programs are ready
        prepare_records(self._engine, records, self.settings, wanted)
        if not wanted():
            return
        self.lifecycle.serve()
        self._set_health(_Health.SERVING)
        _log.info("serving on %s as %s", self.address, self.settings.replica_id)

    def stop(self, grace: float | None = None) -> bool:
        """Refuses new calls, finishes those in flight, and stops.

        Args:
            grace: Seconds that calls in flight are given; None for the setting.

        Returns:
            Whether nothing is being done any more. A compile goes on.
        """
        serving = self.lifecycle.leave_rotation()
        self._set_health(_Health.NOT_SERVING)
        if serving:
            time.sleep(self.settings.drain_delay)
        end = time.monotonic() + (self.settings.grace if grace is None else grace)
        self.lifecycle.drain()
        idle = self.lifecycle.wait_until_idle(max(end - time.monotonic(), 0.0))
        if idle:
            self.lifecycle.hold_refusals()
            time.sleep(_HOLD_SECONDS)
        stopped = self._server.stop(max(end - time.monotonic(), 0.0))
        self._health.end_watches()
        if idle:
            time.sleep(_HOLD_SECONDS)
            self.lifecycle.release_refusals()
        stopped.wait()
        for pool in self._pools:
            pool.stop()
        done = self.compile_pool.stop(_LAST_SECONDS)
        self._watchdog.stop()
        self._recorder.stop()
        if self._spans is not None:
            self._spans.stop()
        if self._http is not None:
            self._http.stop()
            self._http = None
        _log.info("stopped")
        return idle and done

    def __enter__(self) -> App:
        """Starts it."""
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Stops it."""
        self.stop()

    def _make_engine(self) -> Engine:
        settings = self.settings
        return Engine(
            self.plans,
            self.scheduler,
            BatchLimits(
                settings.max_batch_rows,
                settings.max_message_bytes,
                self._device_bytes,
                settings.program,
            ),
            settings.max_batch_sizes,
        )

    def _set_health(self, status: int) -> None:
        self._health.set(status, "", SERVICE_NAME)

    def _metrics_page(self) -> tuple[int, str, bytes]:
        self._recorder.flush()
        return 200, CONTENT_TYPE, self.metrics.render()

    def _readiness_page(self) -> tuple[int, str, bytes]:
        state = self.lifecycle.state
        code = 200 if state is State.SERVING else 503
        return code, "text/plain; charset=utf-8", f"{state}\n".encode()

    def _make_metrics(self, store: Store | None) -> Metrics:
        settings = self.settings
        readings = [
            *read_calls(self.lifecycle, lambda: self._recorder.dropped),
            *read_scheduler(self.scheduler),
            *read_plans(self.plans, self.compile_pool),
            *read_cache(store),
        ]
        device = devices.list_devices()[0]
        build = {
            "version": devices.server_version(),
            **{name: version for name, version in devices.libraries().items() if name != "numpy"},
            "platform": device.platform,
            "device_kind": device.kind,
            "replica": settings.replica_id,
        }
        return Metrics(readings, devices.list_devices, settings.limits(), build)


def build(settings: Settings, end: Callable[[], None] = lambda: None) -> App:
    """Makes a server. See ``App``."""
    return App(settings, end)
