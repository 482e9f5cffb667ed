from __future__ import annotations

import os

import pytest

from gradwire_server.process.quarantine import Entry
from gradwire_server.process.supervision import (
    VARIABLE,
    Supervision,
    take_supervision,
    write_supervision,
)


@pytest.mark.parametrize(
    "supervision",
    [
        Supervision(),
        Supervision(
            7, 3, ("a", "b"), {"c": Entry(1.25, "SIGSEGV")}, "/cache/quarantine/plans.json"
        ),
    ],
)
def test_a_server_reads_what_its_supervisor_wrote(
    monkeypatch: pytest.MonkeyPatch, supervision: Supervision
) -> None:
    """All of it, in the types that it had."""
    for name, value in write_supervision(supervision).items():
        monkeypatch.setenv(name, value)
    taken = take_supervision()
    assert taken == supervision
    assert all(isinstance(entry, Entry) for entry in taken.quarantined.values())


def test_it_is_taken_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that the server starts have another parent."""
    monkeypatch.setenv(VARIABLE, write_supervision(Supervision())[VARIABLE])
    assert take_supervision() is not None
    assert VARIABLE not in os.environ
    assert take_supervision() is None


def test_as_many_plans_as_are_kept_fit_into_a_variable() -> None:
    """Linux takes 128 KiB of each."""
    names = [f"{number:032x}/compile-{2**16}" for number in range(1024)]
    entries = dict.fromkeys(names, Entry(1.7e9 + 1 / 3, f"max_compile_bytes={2**40}"))
    suspects = tuple(f"{number:032x}" for number in range(256))
    written = write_supervision(Supervision(7, 10**6, suspects, entries, "/" + "x" * 4095))
    assert len(f"{VARIABLE}={written[VARIABLE]}") < 2**17
