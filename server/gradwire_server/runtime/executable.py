"""Loads the executables that the compiler made, and runs them.

Loading unpickles: only load what this server compiled.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import serialize_executable

from gradwire.tensors import Array
from gradwire_server.artifact import Cost, unpack
from gradwire_server.jax_setup import set_up_jax, translated


class Executable:
    """A compiled program on this process's device.

    Attributes:
        cost: Its cost, as the compiler reported it.
        held_bytes: An estimate of the memory that it holds.
    """

    __slots__ = ("_call", "_copies", "cost", "held_bytes")

    def __init__(self, call: Callable[..., Any], cost: Cost, held_bytes: int) -> None:
        self._call = call
        self._copies = jax.default_backend() != "cpu"
        self.cost = cost
        self.held_bytes = held_bytes

    def __call__(self, arguments: Sequence[Array]) -> list[Array]:
        """Runs it and waits for the result.

        Raises:
            OutOfMemoryError: the device has too little memory.
        """
        try:
            outputs = self._call(*arguments)
            if self._copies:
                for output in outputs:
                    output.copy_to_host_async()
            return [np.asarray(output) for output in outputs]
        except jax.errors.JaxRuntimeError as error:
            raise translated(error, "running") from error


def load_executable(data: bytes) -> Executable:
    """Loads what ``compile_program`` returned, in this process or another.

    Raises:
        Exception: of whatever kind, if the bytes don't fit this process.
    """
    set_up_jax()
    cost, body = unpack(data)
    payload, in_tree, out_tree = pickle.loads(body)
    loaded = serialize_executable.deserialize_and_load(
        payload,
        in_tree,
        out_tree,
        # It was compiled for one device; the default here is all of them.
        execution_devices=jax.local_devices()[:1],
    )
    # Measured: a loaded executable holds a quarter of a megabyte beside its code.
    return Executable(loaded, cost, 2**18 + 2 * len(data))
