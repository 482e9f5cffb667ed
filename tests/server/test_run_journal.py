from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from gradwire_server.process.run_journal import RunJournal, create_journal, open_journal
from server_process import eventually

A, B = "a" * 32, "b" * 32


@pytest.fixture
def journal() -> Iterator[RunJournal]:
    """One with room for two runs."""
    made = create_journal(2)
    yield made
    made.close()


def plans(journal: RunJournal) -> list[str]:
    return sorted(run.plan_id for run in journal.read())


def test_runs_are_there_from_begin_to_end(journal: RunJournal) -> None:
    """With the time at which each began; two of one plan are two runs."""
    assert journal.read() == []
    before = time.monotonic()
    first, second = journal.enter(A), journal.enter(A)
    assert plans(journal) == [A, A]
    assert all(before <= run.started <= time.monotonic() for run in journal.read())
    journal.leave(first)
    assert plans(journal) == [A]
    journal.leave(second)
    assert journal.read() == []


def test_places_are_used_again(journal: RunJournal) -> None:
    """As many runs as there are places, however often; of an older run nothing is left."""
    for _ in range(5):
        places = [journal.enter(A), journal.enter("short")]
        assert plans(journal) == [A, "short"]
        for place in places:
            journal.leave(place)
    journal.enter(B)
    journal.enter(B)
    with pytest.raises(IndexError):
        journal.enter(B)
    assert plans(journal) == [B, B]


def test_a_long_name_spoils_no_other(journal: RunJournal) -> None:
    """It is cut."""
    journal.enter(A)
    journal.enter("c" * 40)
    assert plans(journal) == [A, "c" * 32]


def test_it_can_be_emptied(journal: RunJournal) -> None:
    """For the next server, which finds all places free."""
    journal.enter(A)
    journal.clear()
    assert journal.read() == []
    server = RunJournal(os.dup(journal.descriptor), 2)
    server.enter(B)
    server.enter(B)
    assert plans(journal) == [B, B]
    server.close()


def test_it_can_be_kept_as_it_is(journal: RunJournal) -> None:
    """Whatever ends or begins after that."""
    first = journal.enter(A)
    journal.freeze()
    journal.leave(first)
    journal.leave(journal.enter(B))
    assert plans(journal) == [A]


SERVER = """
import sys, time
from gradwire_server.process.run_journal import RunJournal
journal = RunJournal(int(sys.argv[1]), 2)
journal.leave(journal.enter("a" * 32))
journal.enter("b" * 32)
print(flush=True)
time.sleep(60)
"""


def test_it_outlives_its_server(journal: RunJournal) -> None:
    """What ran when it was killed can be read, with times on the same clock."""
    command = [sys.executable, "-P", "-c", SERVER, str(journal.descriptor)]
    before = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[journal.descriptor]) as server:
        assert server.stdout is not None
        server.stdout.readline()
        server.send_signal(signal.SIGKILL)
    (run,) = journal.read()
    assert run.plan_id == B
    assert before < run.started < time.monotonic()


def test_threads_share_it() -> None:
    """Each run has a place of its own; no reader sees a mixture of two."""
    count, plan_ids = 8, [f"{number:032x}" for number in range(8)]
    journal = create_journal(count)
    begun, stop = time.monotonic(), threading.Event()

    def run(plan_id: str) -> None:
        while not stop.is_set():
            journal.leave(journal.enter(plan_id))

    threads = [threading.Thread(target=run, args=(plan_id,)) for plan_id in plan_ids]
    for thread in threads:
        thread.start()
    try:
        seen: set[str] = set()

        def look() -> bool:
            runs = journal.read()
            assert all(begun <= run.started <= time.monotonic() for run in runs)
            seen.update(run.plan_id for run in runs)
            return seen == set(plan_ids)

        assert eventually(look, 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert journal.read() == []
    assert sorted(journal.enter(A) for _ in range(count)) == list(range(count))
    journal.close()


def test_the_next_server_reads_what_the_last_has_left(journal: RunJournal) -> None:
    """It opens the same file; one that is too short for its places is empty."""
    journal.enter(A)
    following = open_journal(os.dup(journal.descriptor), 2)
    assert plans(following) == [A]
    following.close()
    wider = open_journal(os.dup(journal.descriptor), 3)
    assert plans(wider) == []
    wider.close()
