"""A minimal gRPC server in Python: bytes in, bytes out, in a process of its own.

``/bench/Keep`` keeps its request; ``/bench/Call`` answers with what was kept,
so that a call can have the bytes of any request and any answer.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import grpc

OPTIONS = [("grpc.max_send_message_length", 2**26), ("grpc.max_receive_message_length", 2**26)]


class EchoServer:
    """The server, and a channel to it."""

    def __init__(self, address: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self.keep = self._channel.unary_unary("/bench/Keep")
        self.call = self._channel.unary_unary("/bench/Call")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._channel.close()
        self._process.communicate()  # the end of stdin ends it


class _Handler(grpc.GenericRpcHandler):
    def __init__(self) -> None:
        self._kept = b""
        self._methods = {
            "/bench/Keep": grpc.unary_unary_rpc_method_handler(self._keep),
            "/bench/Call": grpc.unary_unary_rpc_method_handler(lambda data, _: self._kept),
        }

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._methods.get(details.method)

    def _keep(self, data: bytes, _: grpc.ServicerContext) -> bytes:
        self._kept = data
        return b""


def main(address: str) -> None:
    """Serves until stdin ends."""
    server = grpc.server(ThreadPoolExecutor(8), handlers=[_Handler()], options=OPTIONS)
    server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main(sys.argv[1])
