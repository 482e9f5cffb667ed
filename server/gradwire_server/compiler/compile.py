"""Compiles a checked program to bytes, and loads such bytes as something to call.

The two halves share nothing but the bytes, so that they can live in two
processes. Loading unpickles: only ever load what this server compiled.
"""

from __future__ import annotations

import json
import logging
import pickle
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import serialize_executable

from gradwire.errors import GradwireError, OutOfMemoryError, UnsupportedError
from gradwire.ir import TypedProgram
from gradwire.tensors import Array
from gradwire_server.compiler.derivatives import OPERATORS
from gradwire_server.compiler.lowering import LOWERINGS, lower_function
from gradwire_server.compiler.rewriting import rewrite_program
from gradwire_server.runtime.devices import set_up_jax

UNMAPPED = 0
"""The bucket of a program without mapped inputs; other buckets are a number of rows."""

_log = logging.getLogger(__name__)
_HEADER_LENGTH = struct.Struct("<I")
_PRECISIONS = {"fast": "default", "high": "high", "highest": "highest"}


@dataclass(frozen=True, slots=True)
class CompileRequest:
    """What to compile.

    Attributes:
        typed: The program.
        precision: ``fast``, ``high`` or ``highest``.
        bucket: The rows of a batch, or ``UNMAPPED``.
    """

    typed: TypedProgram
    precision: str
    bucket: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What the compiler says of an executable.

    Attributes:
        flops: Floating-point operations of one run; 0 if unknown.
        peak_bytes: Device memory of one run: inputs, outputs and temporaries.
        code_bytes: The size of the code.
        compile_seconds: How long tracing and compiling took.
    """

    flops: float
    peak_bytes: int
    code_bytes: int
    compile_seconds: float


class Executable:
    """A compiled program on this process's device.

    Attributes:
        cost: What the compiler said of it.
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
            raise _translated(error, "running") from error


def compile_program(request: CompileRequest) -> bytes:
    """Traces and compiles a program.

    Raises:
        UnsupportedError: JAX can't differentiate it in the way asked for.
        OutOfMemoryError: compiling or placing it needs too much memory.
    """
    set_up_jax()
    start = time.perf_counter()
    typed = rewrite_program(request.typed)
    program = typed.program
    function: Callable[..., Any] = lower_function(typed, program.entry, {**LOWERINGS, **OPERATORS})
    if request.bucket != UNMAPPED:
        function = jax.vmap(function, in_axes=tuple(0 if m else None for m in program.mapped))
    try:
        with jax.default_matmul_precision(_PRECISIONS[request.precision]):
            # Unused parameters are kept: every input is passed, whatever it is for.
            lowered = jax.jit(function, keep_unused=True).lower(*_arguments(request))
        compiled = lowered.compile()
    except GradwireError:
        raise
    except jax.errors.JaxRuntimeError as error:
        raise _translated(error, "compiling") from error
    except NotImplementedError as error:
        _log.info("a program that JAX doesn't offer", exc_info=True)
        raise UnsupportedError(
            "the program uses a derivative that this server doesn't offer"
        ) from error
    except RecursionError as error:
        raise UnsupportedError("the program's functions are nested too deeply") from error
    body = pickle.dumps(serialize_executable.serialize(compiled))
    header = json.dumps(asdict(_cost(compiled, time.perf_counter() - start))).encode()
    return _HEADER_LENGTH.pack(len(header)) + header + body


def load_executable(data: bytes) -> Executable:
    """Loads what ``compile_program`` returned, in this process or another.

    Raises:
        Exception: of whatever kind, if the bytes don't fit this process.
    """
    set_up_jax()
    (length,) = _HEADER_LENGTH.unpack_from(data)
    start = _HEADER_LENGTH.size
    cost = Cost(**json.loads(data[start : start + length]))
    payload, in_tree, out_tree = pickle.loads(memoryview(data)[start + length :])
    loaded = serialize_executable.deserialize_and_load(
        payload,
        in_tree,
        out_tree,
        # It was compiled for one device; the default here is all of them.
        execution_devices=jax.local_devices()[:1],
    )
    # Measured: a loaded executable holds a quarter of a megabyte beside its code.
    return Executable(loaded, cost, 2**18 + 2 * len(data))


def _arguments(request: CompileRequest) -> list[jax.ShapeDtypeStruct]:
    program = request.typed.program
    params = request.typed.entry.signature.params
    return [
        jax.ShapeDtypeStruct((request.bucket, *t.shape) if mapped else t.shape, t.dtype)
        for t, mapped in zip(params, program.mapped, strict=True)
    ]


def _cost(compiled: Any, seconds: float) -> Cost:
    memory = compiled.memory_analysis()
    analysis = compiled.cost_analysis() or {}
    peak = code = 0
    if memory is not None:
        peak = (
            memory.argument_size_in_bytes
            + memory.output_size_in_bytes
            + memory.temp_size_in_bytes
            - memory.alias_size_in_bytes
        )
        code = memory.generated_code_size_in_bytes
    flops = max(float(analysis.get("flops", 0.0)), 0.0)
    return Cost(flops, int(peak), int(code), seconds)


def _translated(error: Exception, doing: str) -> Exception:
    """Returns our error for one of the runtime's, which states its kind first in its text."""
    if str(error).startswith("RESOURCE_EXHAUSTED"):
        return OutOfMemoryError(f"{doing} the program needs more memory than the device has")
    return error
