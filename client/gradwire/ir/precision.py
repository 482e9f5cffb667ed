"""How float32 matrix products are computed: the names of precisions, and their wire values."""

from __future__ import annotations

from gradwire.v1 import service_pb2

PRECISIONS: dict[str, service_pb2.Precision] = {
    "highest": service_pb2.PRECISION_HIGHEST,
    "high": service_pb2.PRECISION_HIGH,
    "fast": service_pb2.PRECISION_FAST,
}
"""From the most exact to the fastest."""
