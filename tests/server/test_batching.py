from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradwire.errors import LimitExceededError, OutOfMemoryError
from gradwire.tensors import FROM_WIRE, is_complex, is_inexact
from gradwire_server.artifact import Cost
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.serving import batching
from gradwire_server.serving.batching import BatchLimits
from gradwire_server.serving.plan import Plan
from planned import plan_of
from programs import function, node, program, vector

WIDE = BatchLimits(2**20, 2**40, 0, ProgramLimits(max_tensor_bytes=2**60))


def _plan(*, mapped: bool = True) -> Plan:
    """Of a program from 3 to 3×3 elements of 8 bytes."""
    body = function(
        [vector(3), vector(3, 1)],
        node("multiply", [0, 1], 2),
        results=[2],
    )
    return plan_of(program(body, mapped=[mapped, False]))


PLAN = _plan()


def test_buckets_are_powers_of_two() -> None:
    """The least that holds the rows; without rows there is one executable."""
    assert [batching.bucket_of(rows) for rows in (1, 2, 3, 4, 5, 8, 9, 1000)] == [
        1, 2, 4, 4, 8, 8, 16, 1024,
    ]  # fmt: skip
    assert batching.bucket_of(NO_BATCH) == NO_BATCH


@pytest.mark.parametrize("rows", range(1, 10))
def test_padding_repeats_a_real_row(rows: int) -> None:
    """The real rows come first and unchanged; inputs that aren't mapped are left alone."""
    x, w = np.random.default_rng(rows).normal(size=(rows, 3)), np.ones((3, 1))
    padded, same = batching.pad(PLAN, [x, w], rows)
    assert same is w
    assert len(padded) == batching.bucket_of(rows)
    np.testing.assert_array_equal(padded[:rows], x)
    for row in padded[rows:]:
        np.testing.assert_array_equal(row, x[-1])
    np.testing.assert_array_equal(batching.cut([padded], rows)[0], x)


def test_without_rows_nothing_is_padded_or_cut() -> None:
    """The arrays are what they were."""
    x = np.ones(3)
    assert batching.pad(_plan(mapped=False), [x], NO_BATCH)[0] is x
    assert batching.cut([x], NO_BATCH)[0] is x


def test_an_empty_batch_has_empty_outputs() -> None:
    """Of the right dtype and shape."""
    (output,) = batching.empty_outputs(PLAN)
    assert (output.dtype, output.shape) == (np.float64, (0, 3, 3))


def test_rows_are_bounded() -> None:
    """At the bound they pass, one over it they don't."""
    limits = replace(WIDE, max_batch_rows=5)
    batching.check_size(PLAN, 5, limits)
    batching.check_size(PLAN, 0, limits)
    with pytest.raises(LimitExceededError, match="`max_batch_rows` is 5 on this server; got 6"):
        batching.check_size(PLAN, 6, limits)


@pytest.mark.parametrize(
    ("name", "per_row"), [("max_tensor_elements", 9), ("max_tensor_bytes", 72)]
)
def test_a_batch_of_tensors_is_bounded(name: str, per_row: int) -> None:
    """As one tensor is, for the rows of the bucket: 5 rows count as 8."""
    for allowed, rows, fits in (
        (8 * per_row, 8, True),
        (8 * per_row, 5, True),
        (8 * per_row - 1, 5, False),
        (8 * per_row - 1, 4, True),
        (8 * per_row, 9, False),
    ):
        limits = replace(WIDE, program=ProgramLimits(**{name: allowed}))
        if fits:
            batching.check_size(PLAN, rows, limits)
            continue
        with pytest.raises(LimitExceededError) as caught:
            batching.check_size(PLAN, rows, limits)
        assert caught.value.metadata == {
            "limit": name,
            "allowed": str(allowed),
            "got": str(batching.bucket_of(rows) * per_row),
        }


@pytest.mark.parametrize("mapped", [False, True])
def test_a_reply_fits_a_message(mapped: bool) -> None:
    """It is refused before it runs: at the bound it passes, one byte over it doesn't."""
    plan, rows = _plan(mapped=mapped), 5 if mapped else NO_BATCH
    size = 2048 + 512 + 72 * (5 if mapped else 1)
    batching.check_size(plan, rows, replace(WIDE, max_message_bytes=size))
    with pytest.raises(LimitExceededError, match="`max_message_bytes`") as caught:
        batching.check_size(plan, rows, replace(WIDE, max_message_bytes=size - 1))
    assert caught.value.field == "outputs"
    assert caught.value.metadata["got"] == str(size)


def test_memory_is_admitted_before_a_run() -> None:
    """At the bound it runs, one byte over it doesn't; 0 is no bound."""
    limits = replace(WIDE, max_device_bytes=1000)
    batching.check_memory(Cost(0.0, 1000, 0, 0.0), limits)
    batching.check_memory(Cost(0.0, 10**15, 0, 0.0), WIDE)
    with pytest.raises(OutOfMemoryError, match=r"is 1000 on this server; .* needs 1001"):
        batching.check_memory(Cost(0.0, 1001, 0, 0.0), limits)


@pytest.mark.parametrize("dtype", FROM_WIRE.values(), ids=lambda dtype: dtype.name)
def test_what_is_not_finite_is_counted(dtype: np.dtype[Any]) -> None:
    """NaN and both infinities, in each part; integers always are finite."""
    array = np.ones((2, 4), dtype)
    assert batching.count_non_finite(array) == 0
    if not is_inexact(dtype):
        return
    array[0, :3] = np.nan, np.inf, -np.inf
    if is_complex(dtype):
        array[1, 0] = complex(0, np.nan)
    assert batching.count_non_finite(array) == (4 if is_complex(dtype) else 3)


def test_a_large_run_needs_memory_that_is_free() -> None:
    """At the bound it may run; what isn't large, or of no known host, isn't looked at."""
    large = Cost(0.0, batching.LARGE_RUN_BYTES, 0, 0.0)
    batching.check_free_memory(large, lambda: batching.LARGE_RUN_BYTES)
    batching.check_free_memory(large, lambda: None)
    with pytest.raises(OutOfMemoryError, match=r"needs 268435456 bytes.* has 268435455 free"):
        batching.check_free_memory(large, lambda: batching.LARGE_RUN_BYTES - 1)
    small = Cost(0.0, batching.LARGE_RUN_BYTES - 1, 0, 0.0)
    batching.check_free_memory(small, lambda: pytest.fail("a small run was looked at"))
