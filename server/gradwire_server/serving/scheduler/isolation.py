"""Runs of suspects with nothing beside them, so that a death tells which plan caused it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from enum import Enum

from gradwire_server.serving.deadline import Deadline, late


class Entered(Enum):
    """How a run has been let in."""

    FREELY = "there are no suspects"
    BESIDE = "beside others, none of them a suspect"
    ALONE = "as the only one"


class Isolation:
    """Lets each plan that was running when the last server died run alone.

    It does so until one of the plan's runs has ended well. Runs begin in the order in
    which they come, so that neither suspects nor others wait for more than those before.
    """

    def __init__(self, suspects: Iterable[str] = ()) -> None:
        """Isolates the plans with these ids; without any, all runs are let in at once."""
        self._suspects = set(suspects)
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._beside = 0
        self._alone = False

    @property
    def suspects(self) -> int:
        """How many plans are to run alone."""
        return len(self._suspects)

    def enter(self, plan_id: str, deadline: Deadline, doing: str) -> Entered:
        """Waits until a run of the plan may begin. To be followed by one ``leave``.

        Raises:
            DeadlineError: it could not begin in time.
        """
        if not self._suspects:  # they only become fewer
            return Entered.FREELY
        with self._changed:
            self._wait_for_turn(plan_id, deadline, doing)
            if plan_id in self._suspects:
                self._alone = True
                return Entered.ALONE
            self._beside += 1
            return Entered.BESIDE

    def leave(self, plan_id: str, entered: Entered, *, well: bool) -> None:
        """Notes the end of a run; ``well`` says that it has computed its outputs."""
        if entered is Entered.FREELY:
            return
        with self._changed:
            if entered is Entered.ALONE:
                self._alone = False
                if well:
                    self._suspects.discard(plan_id)
            else:
                self._beside -= 1
            self._changed.notify_all()

    def _wait_for_turn(self, plan_id: str, deadline: Deadline, doing: str) -> None:
        turn = object()
        self._queue.append(turn)
        try:
            if not self._changed.wait_for(
                lambda: self._queue[0] is turn and self._may_begin(plan_id),
                max(deadline.remaining(), 0.0),
            ):
                raise late(doing)
        finally:
            self._queue.remove(turn)
            self._changed.notify_all()

    def _may_begin(self, plan_id: str) -> bool:
        # Whether it is a suspect is asked each time: a run before it may have ended well.
        return not self._alone and not (plan_id in self._suspects and self._beside)
