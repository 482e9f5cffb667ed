"""What Prometheus can know of this server. Counts; it decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gradwire_server.devices import DeviceInfo
from gradwire_server.record import STAGES, CallRecord

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_ROWS = tuple(float(4**power) for power in range(9))

Reading = tuple[str, str, str, Callable[[], float]]
"""A value that is read when Prometheus asks: kind, name, documentation, how."""


class Metrics:
    """The metrics of one server."""

    def __init__(
        self,
        readings: Iterable[Reading] = (),
        devices: Callable[[], Iterable[DeviceInfo]] = list,
    ) -> None:
        """Makes the metrics.

        Args:
            readings: Values kept elsewhere, each a ``gauge`` or a ``counter``.
            devices: Lists the devices.
        """
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Readings(tuple(readings), devices))
        self._calls = Counter(
            "gradwire_calls",
            "Finished calls.",
            ("method", "operator", "status"),
            registry=self._registry,
        )
        seconds = Histogram(
            "gradwire_stage_seconds",
            "Time that calls spent in each stage.",
            ("method", "stage"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rows = Histogram(
            "gradwire_batch_rows",
            "Rows of the batches that ran.",
            buckets=_ROWS,
            registry=self._registry,
        )
        self._bytes_in = Counter(
            "gradwire_received_bytes", "Bytes of requests.", registry=self._registry
        )
        self._bytes_out = Counter(
            "gradwire_sent_bytes", "Bytes of replies.", registry=self._registry
        )
        # Looking up a labelled child takes longer than counting on it.
        self._stages = {
            method: [(stage, seconds.labels(method, stage).observe) for stage in STAGES]
            for method in ("Prepare", "Compute")
        }
        self._counted: dict[tuple[str, str, str], Callable[[], None]] = {}

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
        for stage, observe in self._stages.get(record.method, ()):
            spent = getattr(record, stage)
            if spent:
                observe(spent)
        if record.rows >= 0:
            self._rows.observe(record.rows)
        self._bytes_in.inc(record.bytes_in)
        self._bytes_out.inc(record.bytes_out)

    def render(self) -> bytes:
        """Returns everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _Readings(Collector):
    """Values that others keep."""

    def __init__(
        self, readings: tuple[Reading, ...], devices: Callable[[], Iterable[DeviceInfo]]
    ) -> None:
        self._readings = readings
        self._devices = devices

    def collect(self) -> Iterator[Metric]:
        for kind, name, documentation, read in self._readings:
            if kind == "counter":
                yield CounterMetricFamily(name, documentation, value=read())
            else:
                yield GaugeMetricFamily(name, documentation, value=read())
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
