"""Bytes are read in full or refused."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace

import pytest

from gradwire.errors import LimitExceededError
from gradwire.ir import encode_program
from gradwire_server.program.decode import decode_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from programs import function, node, program, vector
from refusals import GOOD, BadProgram
from refusals.form import BAD_FORM

LIMITS = ProgramLimits()


@pytest.mark.parametrize("bad", BAD_FORM, ids=lambda bad: bad.name)
def test_bad_form_is_refused(bad: BadProgram) -> None:
    """What isn't understood in full is refused, with class, reason, field, function and node."""
    with pytest.raises(bad.error) as caught:
        decode_program(bad.data, LIMITS)
    error = caught.value
    assert type(error) is bad.error
    assert (error.reason, error.field) == (bad.reason, bad.field)
    assert (error.function, error.node) == bad.place
    assert f"`{bad.field}`" in error.message


def test_the_good_program_is_good() -> None:
    """What the bad programs were made of is none itself."""
    assert verify_program(decode_program(encode_program(GOOD), LIMITS)).sizes[-1].num_nodes == 4


@pytest.mark.parametrize(("limit", "got"), [("max_program_bytes", None), ("max_program_items", 60)])
def test_bytes_and_items_are_bounded(limit: str, got: int | None) -> None:
    """A program at the bound is read, one over it is not."""
    data = encode_program(GOOD)
    got = got or len(data)
    decode_program(data, replace(LIMITS, **{limit: got}))
    with pytest.raises(LimitExceededError) as caught:
        decode_program(data, replace(LIMITS, **{limit: got - 1}))
    assert caught.value.field == limit
    assert caught.value.metadata == {"limit": limit, "allowed": str(got - 1), "got": str(got)}


def test_bytes_are_bounded_before_they_are_parsed() -> None:
    """Bytes over the bound are refused for their number, whatever they are."""
    with pytest.raises(LimitExceededError):
        decode_program(b"\xff" * 11, replace(LIMITS, max_program_bytes=10))


@pytest.mark.parametrize(
    "parts",
    [b"\x12\x00", b"\x12\x02\x2a\x00", b"\x12\x04\x22\x02\x22\x00", b"\x20\x01"],
    ids=["functions", "results", "attributes", "flags"],
)
def test_many_small_parts_do_not_fill_the_memory(parts: bytes) -> None:
    """4 MiB of nearly empty parts are counted and refused, not made into objects."""
    data = b"\x08\x01" + parts * (2**21 * 2 // len(parts) - 1)
    assert len(data) <= LIMITS.max_program_bytes
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceededError) as caught:
            decode_program(data, LIMITS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.field == "max_program_items"
    assert peak < 2**20


def test_a_long_program_is_read_quickly() -> None:
    """2,000 nodes with attributes take well under 100 ms."""
    nodes = [node("integer_pow", [i], i + 1, exponent=2) for i in range(2000)]
    data = encode_program(program(function([vector(3)], *nodes, results=[2000])))
    seconds = []
    for _ in range(5):
        start = time.thread_time()
        decode_program(data, LIMITS)
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.1


def test_constants_are_views_that_cannot_be_written() -> None:
    """A constant that was read stays what the bytes say."""
    value = decode_program(encode_program(GOOD), LIMITS).functions[0].constants[0].value
    assert not value.flags.writeable
