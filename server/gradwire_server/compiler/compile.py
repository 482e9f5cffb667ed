"""Compiles a program to bytes that the runtime loads, in this process or another."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental import serialize_executable

from gradwire.errors import GradwireError, UnsupportedError
from gradwire.ir import TypedProgram
from gradwire.ir.precision import PRECISIONS
from gradwire_server.artifact import Cost, pack
from gradwire_server.compiler.derivatives import OPERATORS
from gradwire_server.compiler.lowering import LOWERINGS, lower_function
from gradwire_server.compiler.rewriting import rewrite_program
from gradwire_server.jax_setup import set_up_jax, translated
from gradwire_server.planner.choices import Choice, apply_choices
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.program.verify import read_verified_program

_log = logging.getLogger(__name__)
_JAX_WORDS = {word: word for word in PRECISIONS} | {"fast": "default"}
"""JAX's name for each precision; its default is the device's fastest."""


def compile_program(data: bytes, precision: str, bucket: int, choices: Sequence[Choice]) -> bytes:
    """Traces and compiles a program.

    Args:
        data: The checked program.
        precision: One of ``PRECISIONS``.
        bucket: The rows of a batch, or ``NO_BATCH``.
        choices: What the planner decided where the program leaves something open.

    Raises:
        UnsupportedError: JAX can't differentiate it in the way asked for.
        OutOfMemoryError: compiling or placing it needs too much memory.
    """
    set_up_jax()
    start = time.perf_counter()
    typed = rewrite_program(apply_choices(read_verified_program(data), choices))
    program = typed.program
    function: Callable[..., Any] = lower_function(typed, program.entry, {**LOWERINGS, **OPERATORS})
    if bucket != NO_BATCH:
        function = jax.vmap(function, in_axes=tuple(0 if m else None for m in program.mapped))
    try:
        with jax.default_matmul_precision(_JAX_WORDS[precision]):
            # Unused parameters are kept: every input is passed, used or not.
            lowered = jax.jit(function, keep_unused=True).lower(*_arguments(typed, bucket))
        compiled = lowered.compile()
    except GradwireError:
        raise
    except jax.errors.JaxRuntimeError as error:
        raise translated(error, "compiling") from error
    except NotImplementedError as error:
        _log.info("a program that JAX doesn't offer", exc_info=True)
        raise UnsupportedError(
            "the program uses a derivative that this server doesn't offer"
        ) from error
    except RecursionError as error:
        raise UnsupportedError("the program's functions are nested too deeply") from error
    body = pickle.dumps(serialize_executable.serialize(compiled))
    return pack(_cost(compiled, time.perf_counter() - start), body)


def _arguments(typed: TypedProgram, bucket: int) -> list[jax.ShapeDtypeStruct]:
    params, mapped = typed.entry.signature.params, typed.program.mapped
    return [
        jax.ShapeDtypeStruct((bucket, *t.shape) if m else t.shape, t.dtype)
        for t, m in zip(params, mapped, strict=True)
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
