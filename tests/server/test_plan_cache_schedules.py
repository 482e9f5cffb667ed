from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gradwire_server.serving import compile_pool, plan_cache
from gradwire_server.serving.plan_cache import HeldPlan, PlanCache
from schedule import first_failure
from scheduled_plans import PlansWorld, play_plans
from scheduled_threading import OpenLock


def test_promises_hold_in_every_order(seeds: Sequence[int]) -> None:
    """Plans that are held, compiled and dropped, in whatever order the threads go on."""
    for seed in seeds:
        play_plans(seed)


def _wakes_nobody_for_a_job(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    changed = world.pool._changed
    wake = type(changed).notify
    patch.setattr(changed, "notify_all", lambda: wake(changed, len(changed._waiters)))
    patch.setattr(changed, "notify", lambda: None)


def _wakes_nobody_at_the_end(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(world.pool._changed, "notify_all", lambda: None)


def _does_the_first_job(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    def first(queue: Sequence[Any], key: object, default: Any) -> Any:
        return queue[0] if queue else default

    patch.setattr(compile_pool, "min", first, raising=False)


def _reserves_no_thread(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    world.pool._shared = len(world.pool._threads)


def _refuses_in_spite_of_a_thread(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    pool = world.pool
    patch.setattr(pool, "_idle_for", lambda _: max(pool._shared - pool.busy, 0))


def _open_pool(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    world.pool._changed = world.names["Condition"](OpenLock(world.schedule))


def _open_cache(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    world.cache._lock = OpenLock(world.schedule)


class _Blind(dict[Any, Any]):
    """Doesn't find what is in it."""

    def get(self, key: object, default: Any = None) -> Any:
        return default


class _Sticky(dict[Any, Any]):
    """Lets nothing go."""

    def __delitem__(self, key: object) -> None:
        pass


def _compiles_for_each_call(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plan_cache, "HeldPlan", lambda plan: HeldPlan(plan, making=_Blind()))


def _keeps_makings(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plan_cache, "HeldPlan", lambda plan: HeldPlan(plan, making=_Sticky()))


def _forgets_plans_in_use(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(world.cache, "_by_key", _Blind())


def _counts_dropped_plans(world: PlansWorld, patch: pytest.MonkeyPatch) -> None:
    drop = PlanCache._drop

    def drop_all_but_bytes(cache: PlanCache, held: HeldPlan) -> None:
        drop(cache, held)
        cache._bytes += held.bytes

    patch.setattr(PlanCache, "_drop", drop_all_but_bytes)


@pytest.mark.parametrize(
    ("mistake", "promise"),
    [
        (_wakes_nobody_for_a_job, "a job waits though a thread is free for it"),
        (_wakes_nobody_at_the_end, "all threads wait for ever"),
        (_does_the_first_job, "a job waits though a thread is free for it"),
        (_reserves_no_thread, "a reserved thread goes to a caller who has another"),
        (_refuses_in_spite_of_a_thread, "`max_waiting_compiles` is not reached"),
        (_open_pool, "a reserved thread goes to a caller who has another"),
        (_open_cache, "the bytes are those of the plans"),
        (_compiles_for_each_call, "it is compiled twice"),
        (_keeps_makings, "a making is kept"),
        (_forgets_plans_in_use, "it is compiled twice"),
        (_counts_dropped_plans, "the bytes are those of the plans"),
    ],
)
def test_a_mistake_is_found(mistake: Any, promise: str) -> None:
    """By some of a hundred schedules, and for the promise that it breaks."""
    assert first_failure(lambda seed: play_plans(seed, mistake), range(100), promise)
