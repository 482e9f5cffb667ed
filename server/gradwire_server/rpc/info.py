"""The answer to GetServerInfo: what this server is, offers and allows."""

from __future__ import annotations

from gradwire.opset import OPS, OPSET_VERSION
from gradwire.v1 import service_pb2 as pb
from gradwire_server.config.settings import Settings
from gradwire_server.runtime import devices


def describe_server(settings: Settings) -> pb.GetServerInfoResponse:
    """Writes what this process offers under these settings."""
    return pb.GetServerInfoResponse(
        server_version=devices.server_version(),
        replica_id=settings.replica_id,
        opsets=[OPSET_VERSION],
        ops=sorted(OPS),
        limits=[pb.Limit(name=name, value=value) for name, value in settings.limits().items()],
        devices=[
            pb.Device(id=d.id, platform=d.platform, kind=d.kind, memory_bytes=d.memory_bytes)
            for d in devices.list_devices()
        ],
        libraries=[f"{name} {version}" for name, version in devices.libraries().items()],
    )
