"""Parts of a scheduler that show who waits in them, or go through their runs in one order."""

from __future__ import annotations

from collections.abc import Iterable

from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.scheduler.isolation import Isolation
from gradwire_server.serving.scheduler.memory import Memory
from gradwire_server.serving.scheduler.runs import Run


class SeenMemory(Memory):
    """Memory of which the sizes that are waited for are known, in order."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.sizes: list[tuple[int, object]] = []

    def _wait(self, size: int, deadline: Deadline, doing: str) -> None:
        mine = (size, object())
        self.sizes.append(mine)
        try:
            super()._wait(size, deadline, doing)
            assert self.sizes[0] is mine, "memory goes to the first in the queue"
        finally:
            self.sizes.remove(mine)


class SeenIsolation(Isolation):
    """One of which the plans are known whose runs wait, in order."""

    def __init__(self, suspects: Iterable[str]) -> None:
        super().__init__(suspects)
        self.plans: list[tuple[str, object]] = []

    def _wait_for_turn(self, plan_id: str, deadline: Deadline, doing: str) -> None:
        mine = (plan_id, object())
        self.plans.append(mine)
        try:
            super()._wait_for_turn(plan_id, deadline, doing)
            assert self.plans[0] is mine, "runs begin in the order in which they come"
        finally:
            self.plans.remove(mine)


class RunsInOrder(dict[Run, None]):
    """Stands for a set, of which the order depends on addresses."""

    def add(self, run: Run) -> None:
        self[run] = None

    def remove(self, run: Run) -> None:
        del self[run]
