from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gradwire_server.serving.scheduler import places
from gradwire_server.serving.scheduler.isolation import Entered, Isolation
from gradwire_server.serving.scheduler.memory import Memory
from gradwire_server.serving.scheduler.places import Places
from schedule import first_failure
from scheduled_runs import RunsWorld, play_runs
from scheduled_threading import OpenLock


def test_promises_hold_in_every_order(seeds: Sequence[int]) -> None:
    """Calls that run, wait, are late or cancelled, in whatever order their threads go on."""
    for seed in seeds:
        play_runs(seed)


def test_a_seed_gives_the_same_order_again() -> None:
    """So a failure can be looked at."""

    def failure() -> str | None:
        return first_failure(lambda seed: play_runs(seed, _takes_memory_back_twice), range(100))

    first = failure()
    assert first is not None
    assert failure() == first


def _twice(method: Callable[..., None]) -> Callable[..., None]:
    def call(*values: Any) -> None:
        method(*values)
        method(*values)

    return call


def _takes_places_back_twice(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Places, "give_back", _twice(Places.give_back))


def _takes_memory_back_twice(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Memory, "give_back", _twice(Memory.give_back))


def _lets_suspects_run_beside(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Isolation, "enter", lambda *_: Entered.FREELY)


def _wakes_nobody_for_a_place(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(world.names["Event"], "set", lambda event: setattr(event, "_flag", True))


def _looks_only_once_for_its_turn(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(world.names["Event"], "is_set", lambda _: False)


def _serves_who_came_first(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(places, "min", lambda queue, key: queue[0], raising=False)


def _wakes_nobody_for_memory(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(world.scheduler._memory._changed, "notify_all", lambda: None)


def _wakes_nobody_after_a_suspect(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(world.scheduler._isolation._changed, "notify_all", lambda: None)


def _gives_up_at_once(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    world.scheduler._runs._seconds = 0.0


def _never_gives_up(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    world.scheduler._runs._places += 1


def _open_places(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    world.scheduler._places._lock = OpenLock(world.schedule)


def _open_memory(world: RunsWorld, patch: pytest.MonkeyPatch) -> None:
    world.scheduler._memory._changed = world.names["Condition"](OpenLock(world.schedule))


@pytest.mark.parametrize(
    ("mistake", "promise"),
    [
        (_takes_places_back_twice, "more is taken or free than there is"),
        (_takes_memory_back_twice, "a program runs without its memory"),
        (_lets_suspects_run_beside, "a suspect is noted alone"),
        (_wakes_nobody_for_a_place, "a call that has a place waits for one"),
        (_looks_only_once_for_its_turn, "ValueError"),
        (_serves_who_came_first, "to the caller who has the fewest"),
        (_wakes_nobody_for_memory, "a run waits for free memory"),
        (_wakes_nobody_after_a_suspect, "a run waits though nothing runs"),
        (_gives_up_at_once, "it gives up while a place is left"),
        (_never_gives_up, "it doesn't give up"),
        (_open_places, "more is taken or free than there is"),
        (_open_memory, "memory goes to the first in the queue"),
    ],
)
def test_a_mistake_is_found(mistake: Any, promise: str) -> None:
    """By some of a hundred schedules, and for the promise that it breaks."""
    assert first_failure(lambda seed: play_runs(seed, mistake), range(100), promise)
