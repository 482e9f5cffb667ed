"""Servers behind Envoy, as a cluster has them: names in DNS, one port, health checks."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

import gradwire as gw
from deploy.gateway import Gateway, deployed, free_port, on_loopback
from deploy.names import Names
from gradwire.ir import encode_program
from gradwire.tensors import Array
from programs import chain, function, node, program, vector
from server_process import ServerProcess, eventually

X = np.array([0.5, -1.0, 2.0])


class Fleet:
    """Servers `gradwire-0`, `gradwire-1`, … behind one Envoy.

    Attributes:
        servers: The servers by the names that Envoy knows them by.
        names: Where Envoy looks these up.
        gateway: The Envoy.
    """

    def __init__(self, folder: Path, count: int = 2) -> None:
        # Linux answers at each address of 127/8, with no interface for it.
        hosts = [f"127.0.0.{2 + number}" for number in range(count)]
        self.port = free_port(*hosts)
        self.names = Names()
        self.servers: dict[str, ServerProcess] = {}
        for number, host in enumerate(hosts):
            name = f"gradwire-{number}.gradwire"
            self.names.addresses[name] = host
            (folder / name).mkdir()
            self.servers[name] = ServerProcess(
                folder / name,
                f"{host}:{self.port}",
                *["--replica-id", name, "--drain-delay", "1.0"],
                # XLA's threads of several servers would compete for the cores.
                *["--max-executions", "1"],
            )
        config = on_loopback(deployed(), self.names.port, self.port)
        self.gateway = Gateway(folder, config)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.names)
            for server in self.servers.values():
                stack.enter_context(server)
            stack.enter_context(self.gateway)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def restore(self) -> None:
        """Starts what has ended, and waits until every server gets calls."""
        for server in self.servers.values():
            if not server.running:
                server.end(signal.SIGKILL)
                server.start()
        assert eventually(lambda: self.gateway.well() == set(self.servers), 60), (
            self.gateway.servers()
        )

    def connect(self, **options: Any) -> gw.Connection:
        """A connection to Envoy."""
        return gw.connect(self.gateway.target, **options)


def sines(count: int) -> bytes:
    """A program: the sine of the sine of …; each count is another program."""
    return encode_program(program(chain("sin", count, vector(3))))


def check_sines(output: Array, count: int) -> None:
    """Asserts that an output is what that program gives at ``X``."""
    wanted = X
    for _ in range(count):
        wanted = np.sin(wanted)
    np.testing.assert_allclose(output, wanted, rtol=1e-12)


def slow(steps: int, depth: int = 1) -> bytes:
    """A program that takes 20 to 100 ns for each step and depth: sines of sines, in a loop."""
    params = [vector(dtype="int64"), vector(3)]
    nodes = [node("sin", [1 + number], 2 + number) for number in range(depth)]
    body = function(params, *nodes, results=[1 + depth], name="body")
    entry = function(
        [vector(3)], node("fori_loop", [0], 1, functions=[0], lower=0, upper=steps), results=[1]
    )
    return encode_program(program(body, entry))
