"""Fits a call to an executable: bounds, buckets, padding, and back.

A mapped program has one executable for each power of two of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gradwire.errors import LimitExceededError, OutOfMemoryError
from gradwire.tensors import Array, is_inexact
from gradwire_server.artifact import Cost
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.program.exceeded import exceeded
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.serving.plan import Plan

_REPLY_BYTES = 2048
_OUTPUT_BYTES = 512
"""An upper estimate of what a reply holds beside the elements: ids, times, dtypes, shapes."""
LARGE_RUN_BYTES = 256 * 2**20
"""From here on a run is admitted against the memory that is free."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds on one run, each a field of the server's settings.

    Attributes:
        max_batch_rows: Rows of one batch.
        max_message_bytes: One reply.
        max_device_bytes: Device memory of one run; 0 for no bound.
        program: The bounds on tensors, which hold for a batch of them as well.
    """

    max_batch_rows: int
    max_message_bytes: int
    max_device_bytes: int
    program: ProgramLimits


def bucket_of(rows: int) -> int:
    """Returns the least power of two that holds the rows; ``NO_BATCH`` for no batch."""
    return NO_BATCH if rows == NO_BATCH else 1 << (rows - 1).bit_length()


def check_size(plan: Plan, rows: int, limits: BatchLimits) -> None:
    """Checks that a run of this many rows can be compiled and answered.

    Every intermediate of one sample is there once for each row of the bucket,
    so the bounds on a tensor hold for its widest times that.

    Raises:
        LimitExceededError: it can't.
    """
    factor = 1
    if rows != NO_BATCH:
        if rows > limits.max_batch_rows:
            raise exceeded("max_batch_rows", limits.max_batch_rows, rows)
        bucket = bucket_of(rows) if rows else 1
        for limit, allowed, got in (
            ("max_tensor_elements", limits.program.max_tensor_elements, plan.planned.size.widest),
            ("max_tensor_bytes", limits.program.max_tensor_bytes, plan.planned.widest_bytes),
            (
                "max_window_elements",
                limits.program.max_window_elements,
                plan.planned.size.window_elements,
            ),
        ):
            if bucket * got > allowed:
                raise exceeded(limit, allowed, bucket * got)
        factor = rows
    reply = _REPLY_BYTES + sum(_OUTPUT_BYTES + factor * t.nbytes for t in plan.outputs)
    if reply > limits.max_message_bytes:
        raise LimitExceededError(
            f"`outputs` must fit one message: `max_message_bytes` is {limits.max_message_bytes} "
            f"on this server; got {reply}",
            field="outputs",
            metadata={
                "limit": "max_message_bytes",
                "allowed": str(limits.max_message_bytes),
                "got": str(reply),
            },
        )


def check_memory(cost: Cost, limits: BatchLimits) -> None:
    """Checks that a run fits the device, by the compiler's figures.

    Raises:
        OutOfMemoryError: it needs more memory than there is.
    """
    if limits.max_device_bytes and cost.peak_bytes > limits.max_device_bytes:
        raise OutOfMemoryError(
            f"`max_device_bytes` is {limits.max_device_bytes} on this server; "
            f"the program needs {cost.peak_bytes}",
            metadata={
                "limit": "max_device_bytes",
                "allowed": str(limits.max_device_bytes),
                "got": str(cost.peak_bytes),
            },
        )


def check_free_memory(cost: Cost, free: Callable[[], int | None]) -> None:
    """Refuses a large run for which the host has no memory now.

    A host that runs out of memory ends processes, with all that they do.

    Args:
        cost: What the run needs.
        free: Returns the free memory of the device, if that is the host; else None.

    Raises:
        OutOfMemoryError: there is less.
    """
    if cost.peak_bytes < LARGE_RUN_BYTES:  # to ask takes as long as a small run
        return
    left = free()
    if left is not None and cost.peak_bytes > left:
        raise OutOfMemoryError(
            f"the program needs {cost.peak_bytes} bytes of memory; this server has {left} free",
            metadata={"needed": str(cost.peak_bytes), "free": str(left)},
        )


def pad(plan: Plan, inputs: Sequence[Array], rows: int) -> list[Array]:
    """Fills each batch up to its bucket with its own last row.

    Any other row, such as zeros, could run a loop to its bound or make NaN.
    """
    missing = bucket_of(rows) - rows
    if rows == NO_BATCH or not missing:
        return list(inputs)
    return [
        np.concatenate([x, np.broadcast_to(x[-1:], (missing, *x.shape[1:]))]) if mapped else x
        for x, mapped in zip(inputs, plan.mapped, strict=True)
    ]


def cut(outputs: Sequence[Array], rows: int) -> list[Array]:
    """Removes the padding from the outputs."""
    return list(outputs) if rows == NO_BATCH else [x[:rows] for x in outputs]


def empty_outputs(plan: Plan) -> list[Array]:
    """Returns the outputs for a batch without rows; nothing has to run for it."""
    return [np.empty((0, *t.shape), t.dtype) for t in plan.outputs]


def count_non_finite(array: Array) -> int:
    """Counts the elements that are NaN or infinite."""
    if not is_inexact(array.dtype):
        return 0
    return array.size - int(np.count_nonzero(np.isfinite(array)))
