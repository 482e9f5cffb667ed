"""Whether calls are traced, and where to, according to OpenTelemetry's own variables."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradwire_server.observability.spans import Spans

_log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
}


def open_spans(service: str, replica_id: str) -> Spans | None:
    """Starts to export spans, if the environment names a collector.

    If traces can't be exported as it says, a warning is logged: a server without
    traces is better than none.

    Args:
        service: The full name of the gRPC service.
        replica_id: The name of this server.
    """
    if not _first(_ENDPOINTS) or not _is_wanted():
        return None
    protocol = _first(_PROTOCOLS) or "grpc"
    if protocol not in _EXPORTERS:
        _log.warning(
            "there are no traces: `%s` must be %s; got %r",
            _PROTOCOLS[1],
            " or ".join(_EXPORTERS),
            protocol,
        )
        return None
    try:
        # Importing these takes a tenth of a second, so they wait until they are needed.
        from gradwire_server.observability.spans import Spans

        exporter = importlib.import_module(_EXPORTERS[protocol]).OTLPSpanExporter()
        return Spans(exporter, service, replica_id)
    except ModuleNotFoundError as error:
        _log.warning(
            "there are no traces: %s is not installed. Run: pip install 'gradwire[otel]'",
            error.name,
        )
    except Exception as error:  # noqa: BLE001 - a variable may be wrong in as many ways as there are
        _log.warning("there are no traces: %s: %s", type(error).__name__, error)
    return None


def _is_wanted() -> bool:
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not disabled and os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"


def _first(names: Iterable[str]) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")
