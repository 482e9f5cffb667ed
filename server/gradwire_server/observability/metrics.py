"""The metrics of this server for Prometheus. It counts finished calls, and decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from gradwire_server.observability.collectors import Reading, Readings
from gradwire_server.runtime.devices import DeviceInfo
from gradwire_server.serving.call_record import STAGES, CallRecord

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OVERLOAD_LIMITS = (
    "max_calls",
    "max_bytes_in_flight",
    "max_waiting_calls",
    "max_waiting_compiles",
    "max_waiting_executions",
    "max_wait_percent",
)
"""The bounds that are reached because there is too much at once."""

_STAGE_SECONDS = (
    *(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3),
    *(1.0, 3.0, 10.0, 30.0, 100.0),
)
_CALL_SECONDS = (
    *(2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
_ROWS = tuple(float(4**power) for power in range(9))

MAX_CALLERS = 64
"""The names of so many callers are labels; the others count together."""
OTHER_CALLERS = "other"

_STAGES_OF = {"Prepare": ("validate", "compile", "serialise"), "Compute": STAGES}
"""The stages that a call of each method can go through."""


class Metrics:
    """The metrics of one server."""

    def __init__(
        self,
        readings: Iterable[Reading] = (),
        devices: Callable[[], Iterable[DeviceInfo]] = list,
        limits: Mapping[str, float] | None = None,
        build: Mapping[str, str] | None = None,
    ) -> None:
        """Makes the metrics.

        Args:
            readings: Values kept elsewhere, each a ``gauge`` or a ``counter``.
            devices: Lists the devices.
            limits: The bounds of the server by name.
            build: The versions and the device of the server, by name.
        """
        # They would double the number of series.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Readings(tuple(readings), devices, limits or {}, build or {}))
        ProcessCollector(registry=self._registry)
        self._count_calls()
        self._count_work()
        # Looking up a labelled child takes longer than counting on it.
        self._counted: dict[tuple[str, str, str], Callable[[], None]] = {}
        self._timed: dict[tuple[str, str], Callable[[float], None]] = {}
        self._executed: dict[str, Callable[[float], None]] = {}

    def _count_calls(self) -> None:
        self._calls = Counter(
            "gradwire_calls",
            "Finished calls.",
            ("method", "operator", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "gradwire_call_seconds",
            "Time from the first byte of a call read to the last written.",
            ("method", "operator"),
            buckets=_CALL_SECONDS,
            registry=self._registry,
        )
        stages = Histogram(
            "gradwire_stage_seconds",
            "Time that calls spent in each stage.",
            ("method", "stage"),
            buckets=_STAGE_SECONDS,
            registry=self._registry,
        )
        self._stages = {
            method: [(name, stages.labels(method, name).observe) for name in names]
            for method, names in _STAGES_OF.items()
        }
        self._failures = Counter(
            "gradwire_failures",
            "Calls that failed, by the reason that the caller was given.",
            ("method", "reason"),
            registry=self._registry,
        )
        self._refused = Counter(
            "gradwire_calls_refused",
            "Calls refused because they would exceed a bound.",
            ("limit",),
            registry=self._registry,
        )
        for limit in OVERLOAD_LIMITS:
            self._refused.labels(limit)  # so that the first refusal is an increase
        self._retries = Counter(
            "gradwire_retries",
            "Calls that were a retry.",
            registry=self._registry,
        )

    def _count_work(self) -> None:
        self._rows = Histogram(
            "gradwire_batch_rows",
            "Rows of the batches that ran.",
            buckets=_ROWS,
            registry=self._registry,
        )
        self._non_finite = Counter(
            "gradwire_non_finite_calls",
            "Calls with NaN or infinite elements in their outputs.",
            ("operator",),
            registry=self._registry,
        )
        self._execute_seconds = Counter(
            "gradwire_caller_execute_seconds",
            "Time in which programs ran, by caller.",
            ("caller",),
            registry=self._registry,
        )
        self._bytes_in = Counter(
            "gradwire_received_bytes", "Bytes of requests.", registry=self._registry
        )
        self._bytes_out = Counter(
            "gradwire_sent_bytes", "Bytes of replies.", registry=self._registry
        )

    def observe(self, records: Iterable[CallRecord]) -> None:
        """Counts finished calls."""
        for record in records:
            self._observe(record)

    def _observe(self, record: CallRecord) -> None:
        labels = (record.method, record.operator, record.status)
        count = self._counted.get(labels)
        if count is None:
            count = self._counted[labels] = self._calls.labels(*labels).inc
        count()
        if not record.unread:  # these would lower the figures of the others
            self._time(labels[:2], record.total)
        for stage, observe_stage in self._stages.get(record.method, ()):
            spent = getattr(record, stage)
            if spent:
                observe_stage(spent)
        if record.execute:
            self._count_execution(record.caller, record.execute)
        if record.rows >= 0:
            self._rows.observe(record.rows)
        self._bytes_in.inc(record.bytes_in)
        self._bytes_out.inc(record.bytes_out)
        self._observe_rare(record)

    def _time(self, labels: tuple[str, str], seconds: float) -> None:
        observe = self._timed.get(labels)
        if observe is None:
            observe = self._timed[labels] = self._seconds.labels(*labels).observe
        observe(seconds)

    def _count_execution(self, caller: str, seconds: float) -> None:
        count = self._executed.get(caller)
        if count is None:
            name = caller if len(self._executed) < MAX_CALLERS else OTHER_CALLERS
            count = self._execute_seconds.labels(name).inc
            if name == caller:
                self._executed[caller] = count
        count(seconds)

    def _observe_rare(self, record: CallRecord) -> None:
        if record.reason:
            self._failures.labels(record.method, record.reason).inc()
        if record.limit:
            self._refused.labels(record.limit).inc()
        if record.attempt:
            self._retries.inc()
        if record.non_finite:
            self._non_finite.labels(record.operator).inc()

    def render(self) -> bytes:
        """Returns everything in Prometheus' text format."""
        return generate_latest(self._registry)
