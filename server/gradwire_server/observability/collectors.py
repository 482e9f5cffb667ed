"""Values that other parts keep, read when Prometheus scrapes. It must not read single calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gradwire_server.observability.recorder import CallRecorder
from gradwire_server.process.quarantine import QuarantinedPlans
from gradwire_server.runtime.devices import DeviceInfo
from gradwire_server.runtime.store import Store
from gradwire_server.serving.compile_pool import CompilePool
from gradwire_server.serving.compilers import Compilers
from gradwire_server.serving.lifecycle import Lifecycle, State
from gradwire_server.serving.plan_cache import PlanCache
from gradwire_server.serving.scheduler import Scheduler

Reading = tuple[str, str, str, Callable[[], float]]
"""A value that is read when Prometheus scrapes: kind, name, documentation, function."""


class Readings(Collector):
    """The values of one server."""

    def __init__(
        self,
        readings: tuple[Reading, ...],
        devices: Callable[[], Iterable[DeviceInfo]],
        limits: Mapping[str, float],
        build: Mapping[str, str],
    ) -> None:
        """Makes the collector. See ``Metrics``."""
        self._readings = readings
        self._devices = devices
        self._limits = limits
        self._build = build

    def collect(self) -> Iterator[Metric]:
        """Reads everything."""
        for kind, name, documentation, read in self._readings:
            if kind == "counter":
                yield CounterMetricFamily(name, documentation, value=read())
            else:
                yield GaugeMetricFamily(name, documentation, value=read())
        limits = GaugeMetricFamily(
            "gradwire_limit", "The bounds of the server, by their settings.", labels=("limit",)
        )
        for limit, value in self._limits.items():
            limits.add_metric((limit,), value)
        yield limits
        build = GaugeMetricFamily(
            "gradwire_build_info", "What the server is; always 1.", labels=tuple(self._build)
        )
        if self._build:
            build.add_metric(tuple(self._build.values()), 1)
        yield build
        yield from self._memory()

    def _memory(self) -> Iterator[Metric]:
        labels = ("device", "platform", "kind")
        total = GaugeMetricFamily(
            "gradwire_device_memory_bytes", "Memory of each device; 0 if unknown.", labels=labels
        )
        used = GaugeMetricFamily(
            "gradwire_device_memory_used_bytes", "Memory of each device in use.", labels=labels
        )
        for device in self._devices():
            names = (str(device.id), device.platform, device.kind)
            total.add_metric(names, device.memory_bytes)
            used.add_metric(names, device.used_bytes)
        yield total
        yield used


def read_calls(lifecycle: Lifecycle, recorder: CallRecorder) -> list[Reading]:
    """Lists the values of the server's state and its calls in flight."""
    return [
        ("gauge", "gradwire_ready", "1 while calls are accepted, else 0.",
         lambda: lifecycle.state is State.SERVING),
        ("gauge", "gradwire_draining", "1 while the server is about to end, else 0.",
         lambda: lifecycle.state is State.DRAINING),
        ("gauge", "gradwire_calls_in_flight", "Calls in progress.",
         lambda: lifecycle.calls),
        ("gauge", "gradwire_bytes_in_flight", "Bytes of the requests in progress.",
         lambda: lifecycle.bytes_in_flight),
        ("counter", "gradwire_records_dropped", "Calls that are in no metric and no log.",
         lambda: recorder.dropped),
    ]  # fmt: skip


def read_scheduler(scheduler: Scheduler) -> list[Reading]:
    """Lists the values of the programs that run, and of the calls that wait to."""
    return [
        ("gauge", "gradwire_executions_running", "Programs that run.",
         lambda: scheduler.running),
        ("gauge", "gradwire_executions_waiting", "Programs that wait for their turn to run.",
         lambda: scheduler.waiting),
        ("gauge", "gradwire_executions_abandoned", "Programs that run without a caller.",
         lambda: scheduler.abandoned),
        ("gauge", "gradwire_calls_waiting", "Calls that wait for a compile.",
         lambda: scheduler.waiting_for_compile),
        ("counter", "gradwire_device_busy_seconds", "Time with at least one program running.",
         lambda: scheduler.busy_seconds),
    ]  # fmt: skip


def read_plans(programs: PlanCache, workers: CompilePool) -> list[Reading]:
    """Lists the values of plans and their executables."""
    counts = programs.counts
    return [
        ("gauge", "gradwire_compiles_waiting", "Programs that wait to be compiled.",
         lambda: workers.waiting),
        ("gauge", "gradwire_compiles_running", "Programs being compiled or loaded.",
         lambda: workers.busy),
        ("gauge", "gradwire_plans_held", "Plans held.", lambda: programs.num_held),
        ("gauge", "gradwire_plans_held_bytes", "Memory of the plans held, estimated.",
         lambda: programs.bytes_held),
        ("counter", "gradwire_plan_hits", "Calls whose plan was held.", lambda: counts.hits),
        ("counter", "gradwire_plan_misses", "Calls whose plan was not held.",
         lambda: counts.misses),
        ("counter", "gradwire_plan_evictions", "Plans dropped for lack of space.",
         lambda: counts.evictions),
        ("counter", "gradwire_executables_compiled", "Executables compiled.",
         lambda: counts.compiled),
        ("counter", "gradwire_executables_loaded", "Executables loaded from disk instead.",
         lambda: counts.loaded_from_disk),
        ("counter", "gradwire_executables_failed", "Executables that could not be made.",
         lambda: counts.failed),
        ("counter", "gradwire_compile_seconds", "Time spent compiling, of all threads together.",
         lambda: counts.compile_seconds),
    ]  # fmt: skip


def read_cache(store: Store | None) -> list[Reading]:
    """Lists the values of the cache on disk; zeros if there is none."""
    return [
        ("gauge", "gradwire_cache_bytes", "Files in the cache directory.",
         lambda: store.num_bytes if store else 0),
        ("gauge", "gradwire_cache_free_bytes", "Space left on the cache's file system.",
         lambda: store.free_bytes() if store else 0),
        ("counter", "gradwire_cache_failed_writes", "Executables that could not be kept on disk.",
         lambda: store.failed_writes if store else 0),
    ]  # fmt: skip


def read_processes(
    restarts: int, quarantined: QuarantinedPlans, scheduler: Scheduler, compilers: Compilers
) -> list[Reading]:
    """Lists what is known of the processes beside this one, and of those before it."""
    counts = compilers.counts
    return [
        ("gauge", "gradwire_server_restarts", "Servers that ended before this one.",
         lambda: restarts),
        ("gauge", "gradwire_plans_suspected", "Plans that run alone, after a server has died.",
         lambda: scheduler.suspects),
        ("gauge", "gradwire_plans_quarantined", "Plans refused for having ended a server.",
         lambda: len(quarantined)),
        ("counter", "gradwire_compilers_started", "Processes started to compile.",
         lambda: counts.started),
        ("counter", "gradwire_compilers_died", "Processes that died, idle or while they compiled.",
         lambda: counts.died),
        ("counter", "gradwire_compilers_killed", "Processes killed at a bound on compiling.",
         lambda: counts.killed),
    ]  # fmt: skip
