"""How float32 matrix products are computed: the words for it, and their numbers on the wire."""

from __future__ import annotations

from gradwire.v1 import service_pb2

PRECISIONS: dict[str, service_pb2.Precision] = {
    "highest": service_pb2.PRECISION_HIGHEST,
    "high": service_pb2.PRECISION_HIGH,
    "fast": service_pb2.PRECISION_FAST,
}
"""From the most exact to the fastest."""
