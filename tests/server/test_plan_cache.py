from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.errors import OverloadedError, PlanNotFoundError
from gradwire.ir import Program, encode_program
from gradwire_server.compiler import compile as compiler
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.runtime.store import Store
from gradwire_server.serving import plan
from gradwire_server.serving.compile_pool import CompilePool
from gradwire_server.serving.plan_cache import HeldPlan, PlanCache
from planned import judge
from programs import function, node, program, vector
from server_process import eventually

MANY = 2**40
X = np.array([1.0, 2.0])
Make = Callable[..., PlanCache]


def _program(number: int, name: str = "f") -> Program:
    body = function(
        [vector(2)],
        node("add", [0, 1], 2),
        results=[2],
        constants=[np.array(float(number))],
        name=name,
    )
    return program(body)


def _hold(programs: PlanCache, number: int, name: str = "f") -> HeldPlan:
    source = _program(number, name)
    return programs.hold(judge(source), "highest", encode_program(source))


def _make(programs: PlanCache, held: HeldPlan) -> Any:
    return programs.make_executable(held, NO_BATCH).result(60)


def _holds(programs: PlanCache, plan_id: str) -> bool:
    try:
        programs.find(plan_id)
    except PlanNotFoundError:
        return False
    return True


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes caches of plans, whose threads end with the test."""
    made: list[CompilePool] = []

    def build(
        *,
        folder: Path | None = None,
        max_plans: int = 100,
        max_plan_bytes: int = MANY,
        workers: int = 2,
        max_waiting: int = 100,
    ) -> PlanCache:
        made.append(CompilePool(workers, max_waiting))
        store = None if folder is None else Store(folder, MANY)
        return PlanCache(
            made[-1],
            store,
            compiler.compile_program,
            max_plans=max_plans,
            max_plan_bytes=max_plan_bytes,
        )

    yield build
    stopped = [workers.stop(60) for workers in made]
    assert all(stopped)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds every compile until it is set."""
    released, add = threading.Event(), compiler.LOWERINGS["add"]

    def lowering(*operands: Any) -> Any:
        released.wait(60)
        return add(*operands)

    monkeypatch.setitem(compiler.LOWERINGS, "add", lowering)
    yield released
    released.set()


def test_a_program_is_compiled_once(make: Make, slow: threading.Event) -> None:
    """However many ask for it at the same time, and all get the same executable."""
    programs = make()

    def ask(_: int) -> tuple[HeldPlan, Future[Any]]:
        held = _hold(programs, 1)
        return held, programs.make_executable(held, NO_BATCH)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(32)))
    slow.set()
    assert len({id(held) for held, _ in answers}) == 1
    assert len({id(future.result(60)) for _, future in answers}) == 1
    assert programs.counts.compiled == 1
    assert programs.counts.compile_seconds > 0
    np.testing.assert_array_equal(_make(programs, answers[0][0])([X])[0], X + 1)


def test_plans_are_found_by_id_and_by_bytes(make: Make) -> None:
    """Other names in a program are other bytes of the same plan."""
    programs = make()
    held = _hold(programs, 1)
    assert programs.find(held.plan.id) is held
    assert _hold(programs, 1, "g") is held
    for name in ("f", "g"):
        assert programs.find_source(encode_program(_program(1, name)), "highest") is held
    assert programs.find_source(encode_program(_program(1)), "high") is None
    assert programs.find_source(encode_program(_program(2)), "highest") is None
    with pytest.raises(PlanNotFoundError):
        programs.find("none")
    assert (programs.counts.hits, programs.counts.misses) == (3, 3)


def test_the_names_of_a_plan_are_bounded(make: Make) -> None:
    """A client that changes names all the time fills nothing."""
    programs = make()
    for number in range(20):
        _hold(programs, 1, f"f{number}")
    found = [programs.find_source(encode_program(_program(1, f"f{n}")), "highest")
             for n in range(20)]  # fmt: skip
    assert sum(held is not None for held in found) == 4


def test_the_number_of_plans_is_bounded(make: Make) -> None:
    """At the bound all stay; one over it, and what was used longest ago goes."""
    programs = make(max_plans=3)
    ids = [_hold(programs, number).plan.id for number in range(3)]
    assert programs.num_held == 3
    assert programs.counts.evictions == 0
    programs.find(ids[0])
    _hold(programs, 3)
    assert programs.num_held == 3
    assert programs.counts.evictions == 1
    assert [_holds(programs, plan_id) for plan_id in ids] == [True, False, True]
    assert programs.find_source(encode_program(_program(1)), "highest") is None


def test_the_memory_of_plans_is_bounded(make: Make) -> None:
    """Executables count: at the bound all stay, below it the oldest goes."""
    probe = make()
    for number in range(3):
        _make(probe, _hold(probe, number))
    size = probe.bytes_held
    assert size > 3 * 2**18
    slack = 1000  # one program isn't compiled to quite the same bytes twice
    for bound, left in ((size + slack, 3), (size - slack, 2)):
        programs = make(max_plan_bytes=bound)
        for number in range(3):
            _make(programs, _hold(programs, number))
        assert programs.num_held == left
        assert programs.bytes_held <= bound


def test_the_newest_plan_is_always_held(make: Make) -> None:
    """Even if it alone is over the bound: its caller is about to use it."""
    programs = make(max_plan_bytes=1)
    held = _hold(programs, 1)
    _make(programs, held)
    assert programs.find(held.plan.id) is held


def test_what_is_being_compiled_is_not_dropped(make: Make, slow: threading.Event) -> None:
    """Else it would be compiled twice."""
    programs = make(max_plans=1)
    first = _hold(programs, 1)
    future = programs.make_executable(first, NO_BATCH)
    _hold(programs, 2)
    assert _hold(programs, 1) is first
    slow.set()
    future.result(60)
    _hold(programs, 3)
    assert programs.num_held == 1


def test_a_compile_that_fails_keeps_no_plan(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the bound, plans are kept only while they are being compiled."""
    released = threading.Event()

    def fail(*operands: Any) -> Any:
        released.wait(60)
        raise ValueError("broken")

    monkeypatch.setitem(compiler.LOWERINGS, "add", fail)
    programs = make(max_plans=1)
    future = programs.make_executable(_hold(programs, 1), NO_BATCH)
    newest = _hold(programs, 2)
    assert programs.num_held == 2
    released.set()
    with pytest.raises(ValueError, match="broken"):
        future.result(60)
    assert programs.num_held == 1
    assert programs.find(newest.plan.id) is newest


def test_a_dropped_plan_in_use_is_compiled_once(make: Make, slow: threading.Event) -> None:
    """A call that found it before, and one that brings it again, wait for the same compile."""
    programs = make(max_plans=1)
    first = _hold(programs, 1)
    _hold(programs, 2)
    assert not _holds(programs, first.plan.id)
    future = programs.make_executable(first, NO_BATCH)
    again = _hold(programs, 1)
    assert programs.make_executable(again, NO_BATCH) is future
    assert programs.find_source(encode_program(_program(1)), "highest") is again
    slow.set()
    future.result(60)
    assert programs.counts.compiled == 1
    assert programs.bytes_held == again.bytes > first.executables[NO_BATCH].held_bytes


def test_a_dropped_plan_can_still_be_run(make: Make) -> None:
    """By the call that holds it."""
    programs = make(max_plans=1)
    held = _hold(programs, 1)
    executable = _make(programs, held)
    _hold(programs, 2)
    assert not _holds(programs, held.plan.id)
    np.testing.assert_array_equal(executable([X])[0], X + 1)


def test_the_whole_key_is_compared(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two programs with one hash are two programs."""
    monkeypatch.setattr(plan, "ID_LENGTH", 0)  # now all ids are the same
    programs = make()
    for number in (1, 2, 1):
        held = _hold(programs, number)
        np.testing.assert_array_equal(_make(programs, held)([X])[0], X + number)
        assert programs.find("").plan.key == held.plan.key
    assert programs.num_held == 1
    assert programs.find_source(encode_program(_program(2)), "highest") is None


def test_a_queue_that_is_full_refuses(make: Make, slow: threading.Event) -> None:
    """At its bound it takes one more, over it none; and nothing of the refused is left."""
    programs = make(workers=1, max_waiting=1)
    futures = [programs.make_executable(_hold(programs, n), NO_BATCH) for n in range(2)]
    refused = _hold(programs, 2)
    with pytest.raises(OverloadedError, match="`max_waiting_compiles` is 1"):
        programs.make_executable(refused, NO_BATCH)
    assert not refused.making
    slow.set()
    for future in futures:
        future.result(60)
    assert _make(programs, refused) is not None


def test_a_failure_reaches_all_and_is_not_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later request has it tried again."""
    released = threading.Event()

    def fail(*operands: Any) -> Any:
        released.wait(60)
        raise ValueError("broken")

    programs = make()
    held = _hold(programs, 1)
    with monkeypatch.context() as patch:
        patch.setitem(compiler.LOWERINGS, "add", fail)
        futures = [programs.make_executable(held, NO_BATCH) for _ in range(3)]
        released.set()
        for future in futures:
            with pytest.raises(ValueError, match="broken"):
                future.result(60)
    assert programs.counts.failed == 1
    assert _make(programs, held) is not None


def test_a_new_server_loads_what_an_old_one_compiled(make: Make, tmp_path: Path) -> None:
    """From its directory, without compiling."""
    old, new = make(folder=tmp_path / "c"), make(folder=tmp_path / "c")
    held = _hold(old, 1)
    _make(old, held)
    assert held.compiled == {NO_BATCH}
    loaded = _hold(new, 1)
    np.testing.assert_array_equal(_make(new, loaded)([X])[0], X + 1)
    assert (new.counts.compiled, new.counts.loaded_from_disk) == (0, 1)
    assert loaded.compiled == set()


@pytest.mark.parametrize("harm", ["damaged", "unloadable", "other"])
def test_a_file_that_can_not_be_used_is_compiled_again(
    make: Make, tmp_path: Path, harm: str
) -> None:
    """Whatever is wrong with it, and it is replaced."""
    folder = tmp_path / "c"
    old = make(folder=folder)
    held = _hold(old, 1)
    _make(old, held)
    (path,) = folder.iterdir()
    good = path.read_bytes()
    if harm == "damaged":
        path.write_bytes(good[:-1])
    elif harm == "unloadable":
        Store(folder, MANY).write(
            plan.join_parts([held.plan.key, str(NO_BATCH).encode()]), b"\xff" * 100
        )
    else:
        path.unlink()
        _make(old, _hold(old, 2))
        (other,) = folder.iterdir()
        other.rename(path)
    assert path.read_bytes() != good
    new = make(folder=folder)
    np.testing.assert_array_equal(_make(new, _hold(new, 1))([X])[0], X + 1)
    assert (new.counts.compiled, new.counts.loaded_from_disk) == (1, 0)
    last = make(folder=folder)
    _make(last, _hold(last, 1))
    assert last.counts.loaded_from_disk == 1


def test_threads_share_the_cache(make: Make) -> None:
    """With many that hold, make, find and drop, the books balance at the end."""
    programs = make(max_plans=4)

    def work(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, 8, 30):
            held = _hold(programs, int(number))
            np.testing.assert_array_equal(_make(programs, held)([X])[0], X + number)

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(work, seed) for seed in range(6)]:
            future.result(120)
    assert eventually(lambda: programs.num_held <= 4)
    for number in range(8, 12):
        _hold(programs, number)
    assert programs.bytes_held == sum(
        programs.find(_hold(programs, number).plan.id).bytes for number in range(8, 12)
    )
