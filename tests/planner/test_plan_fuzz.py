"""Whatever arrives as a program, reading, checking and planning it ends soon, by a typed error."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from random import Random

import pytest

from conformance.random_programs import write_program
from gradwire.errors import InvalidProgramError, UnsupportedError
from gradwire.ir import encode_program
from gradwire.opset import OPS
from gradwire.v1 import function_pb2 as pb
from gradwire_server.planner.plan import plan_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import read_program
from killers import KILLERS, data_of
from mutations import message_mutations, mutations
from refusals import BAD_PROGRAMS, BOUNDARIES, GOOD

LIMITS = ProgramLimits()
MAX_BYTES = 5000
"""Larger programs are left out: what is damaged in them is rarely what matters."""
EACH = 20
"""Damaged copies that are made of one program before the next."""
MAX_SECONDS = 2.0
"""For one of them, of the thread's own time."""


def originals() -> list[bytes]:
    """Programs of all kinds: good, refused, at a bound, and those that are meant to kill."""
    found = [encode_program(GOOD), *(bad.data for bad in BAD_PROGRAMS)]
    found += [data for case in BOUNDARIES for data in (case.at, case.over)]
    found += [data_of(killer, 0)[0] for killer in KILLERS]
    return [data for data in found if len(data) < MAX_BYTES]


def drawn(random: Random) -> bytes:
    """A program at random, with derivatives, maps and loops."""
    steps = [[random.randrange(2**20) for _ in range(3)] for _ in range(3)]
    return encode_program(write_program(steps, random.randrange(2**20), True).program)


def damaged(seed: int) -> Iterator[bytes]:
    """Yields without end programs that went wrong as bytes or as messages."""
    random = Random(seed)
    fixed = originals()
    names = sorted(OPS)
    for number in count():
        data = drawn(random) if number % 2 else random.choice(fixed)
        yield from mutations(data, EACH, random.randrange(2**32))
        yield from message_mutations(data, pb.Program, names, EACH, random.randrange(2**32))


def examine(data: bytes, tally: Counter[str]) -> None:
    """Reads, checks and plans it, and tells what came of it."""
    start = time.thread_time()
    found: Exception | None = None
    try:
        plan_program(read_program(data, LIMITS), LIMITS)
    except Exception as error:  # noqa: BLE001 - any that is no refusal is shown with the bytes
        found = error
    assert time.thread_time() - start < MAX_SECONDS, data
    assert found is None or isinstance(found, InvalidProgramError | UnsupportedError), (
        f"{found!r} for {data!r}"
    )
    assert len(str(found)) < 2000
    tally["planned" if found is None else type(found).__name__] += 1


def test_damaged_programs_end_soon_by_a_typed_error() -> None:
    """Two thousand, a part of which are still programs."""
    tally: Counter[str] = Counter()
    for data, _ in zip(damaged(1), range(2000), strict=False):
        examine(data, tally)
    assert tally["planned"] > 100
    assert tally["InvalidProgramError"] > 1000


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_damaged_programs_end_soon_for_long() -> None:
    """The same for ten minutes, or FUZZ_SECONDS, from FUZZ_SEED."""
    tally: Counter[str] = Counter()
    end = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "600"))
    for data in damaged(int(os.environ.get("FUZZ_SEED", "2"))):
        examine(data, tally)
        if time.monotonic() > end:
            break
    print(dict(tally))
    assert tally["planned"] > 1000
