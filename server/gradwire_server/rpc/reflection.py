"""gRPC's reflection service: lists the services, for tools such as grpcurl."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

METHOD = "ServerReflectionInfo"


def reflection_handlers(names: Sequence[str]) -> grpc.GenericRpcHandler:
    """Returns what a gRPC server registers.

    Args:
        names: The other services.
    """
    servicer = reflection.ReflectionServicer((*names, reflection.SERVICE_NAME))
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(reflection.SERVICE_NAME, {METHOD: method})
