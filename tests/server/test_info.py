"""A server says what it is, offers and allows."""

from __future__ import annotations

from gradwire.opset import OPS, OPSET_VERSION
from gradwire.v1 import service_pb2 as pb
from gradwire_server.app import App
from serving import (
    Stub,
)


def test_a_server_says_what_it_is(stub: Stub, app: App) -> None:
    """Versions, ops, limits and devices."""
    info = stub.GetServerInfo(pb.GetServerInfoRequest())
    assert info.server_version
    assert info.replica_id == "test"
    assert list(info.opsets) == [OPSET_VERSION]
    assert list(info.ops) == sorted(OPS)
    limits = {limit.name: limit.value for limit in info.limits}
    assert limits == app.settings.limits()
    assert limits["max_batch_rows"] == 8
    assert info.devices[0].platform in ("cpu", "gpu")
    assert info.devices[0].memory_bytes > 0
    assert any(library.startswith("jax 0.") for library in info.libraries)
