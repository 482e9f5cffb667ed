"""Runs threads one at a time, in an order that follows from a seed, on a clock of its own.

What the threads share must be built on the locks of ``scheduled_threading``.
"""

from __future__ import annotations

import math
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any

_MOST_STEPS = 50_000
_REAL_SECONDS = 100.0
"""How long one schedule may take, where a thread waits for something else than the schedule."""
_TRACED = 40
"""Steps that a failure shows."""
_FOLDER = str(Path(__file__).parent)
_OWN = {__file__, f"{_FOLDER}/scheduled_threading.py", "<the classes of threading>"}
"""Files whose lines a trace leaves out."""


class ScheduleError(AssertionError):
    """A schedule that has failed: why, by which seed, and after which steps."""


def first_failure(
    play: Callable[[int], object], seeds: Iterable[int], promise: str = ""
) -> str | None:
    """Returns how the schedule of the first seed fails that breaks a promise, if one does."""
    for seed in seeds:
        try:
            play(seed)
        except ScheduleError as error:
            if promise in str(error).splitlines()[0]:
                return str(error)
    return None


class _Ended(BaseException):
    """Ends a thread of a schedule that has failed."""


def _always() -> bool:
    return True


def _never() -> bool:
    return False


def _nothing() -> None:
    pass


@dataclass(eq=False, slots=True)
class Logical:
    """A thread of a schedule. It goes on when ``ready`` says so, or at ``wake_at``."""

    name: str
    ready: Callable[[], bool] = _always
    wake_at: float = math.inf
    has_ended: bool = False
    baton: Any = field(default_factory=threading.Lock)


class Schedule:
    """Threads of which one runs at a time. Where it pauses, the seed says which is next.

    Each calls ``pause`` where another may go on: the locks do, and with some seeds every
    line of the files that are watched. The clock stands still while threads go on, but
    for a few steps at which it jumps to the next moment that somebody waits for, as if
    the threads were slow; and it jumps there when all wait.

    Attributes:
        random: Decides everything.
        now: The time.
        steps: How often a thread has paused.
        check: Called at each step; raises where something is wrong.
        at_rest: Called when all threads wait, before the clock jumps.
    """

    def __init__(self, seed: int, watched: Collection[str] = ()) -> None:
        """Makes a schedule without threads.

        Args:
            seed: Of all that it decides.
            watched: The files of the code to be tested.
        """
        self.random = Random(seed)
        self.now = 1000.0
        self.steps = 0
        self.check: Callable[[], object] = _nothing
        self.at_rest: Callable[[], object] = _nothing
        self._seed = seed
        self._watched = frozenset(watched)
        self._by_line = self.random.choice([0.0, 0.1, 0.4])
        self._stay = self.random.choice([0.0, 0.5, 0.9])
        self._haste = self.random.choice([0.0, 0.01, 0.1])
        self._threads: list[Logical] = []
        self._real: list[threading.Thread] = []
        self._current: Logical | None = None
        self._is_between = False
        self._failure: BaseException | None = None
        self._over = threading.Event()
        self._trace: deque[tuple[float, str, CodeType, int]] = deque(maxlen=_TRACED)

    def run(self, body: Callable[[], object]) -> None:
        """Runs a first thread, and all that it spawns, until all have ended.

        Raises:
            ScheduleError: one has failed, or a check, or all wait for ever.
        """
        first = self.spawn(body, "main")
        self._go_on(first)
        if not self._over.wait(_REAL_SECONDS):
            self._fail(TimeoutError("a thread waits for something beside the schedule"))
        for thread in self._real:
            thread.join(_REAL_SECONDS)
        if self._failure is not None:
            raise ScheduleError(self._describe(self._failure)) from self._failure

    def spawn(self, body: Callable[[], object], name: str) -> Logical:
        """Adds a thread. It begins at some later step."""
        if self._failure is not None:
            raise _Ended
        logical = Logical(name)
        logical.baton.acquire()
        self._threads.append(logical)
        real = threading.Thread(target=self._work, args=(logical, body), name=name, daemon=True)
        self._real.append(real)
        real.start()
        return logical

    def pause(self, ready: Callable[[], bool] = _always, seconds: float = math.inf) -> None:
        """Lets others go on, and returns when it is the thread's turn again.

        Args:
            ready: Says whether the thread can go on; it is true then, if time is left.
            seconds: After which it goes on in any case.
        """
        if self._failure is not None:
            raise _Ended
        me = self._current
        if me is None:
            return  # before `run` there is nobody else
        me.ready, me.wake_at = ready, self.now + seconds
        self._note(me, sys._getframe(1))
        try:
            chosen = self._step(me)
        except Exception as error:
            self._fail(error)
            raise _Ended from error
        if chosen is not me:
            self._go_on(chosen)
            me.baton.acquire()
            if self._failure is not None:
                raise _Ended

    def sleep(self, seconds: float) -> None:
        """Waits for a time."""
        self.pause(_never, seconds)

    def join(self, logical: Logical) -> None:
        """Waits for the end of a thread."""
        self.pause(lambda: logical.has_ended)

    def require(self, holds: object, what: str) -> None:
        """Fails unless something holds, even where the code to be tested catches errors."""
        if not holds:
            self._fail(AssertionError(what))
            raise _Ended

    def _step(self, me: Logical) -> Logical:
        """Checks everything, and returns the thread that is next."""
        self._is_between = True
        try:
            self.check()
            return self._choose(me)
        finally:
            self._is_between = False

    def _choose(self, me: Logical) -> Logical:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise AssertionError(f"it goes on after {_MOST_STEPS} steps")
        while True:
            ready = [t for t in self._threads if t.wake_at <= self.now or t.ready()]
            coming = [t.wake_at for t in self._threads if self.now < t.wake_at < math.inf]
            if ready and not (coming and self.random.random() < self._haste):
                if me in ready and self.random.random() < self._stay:
                    return me
                return self.random.choice(ready)
            if not ready:
                self.at_rest()
                if not coming:
                    names = ", ".join(thread.name for thread in self._threads)
                    raise AssertionError(f"all threads wait for ever: {names}")
            self.now = min(coming)
            self.check()

    def _go_on(self, logical: Logical) -> None:
        self._current = logical
        logical.baton.release()

    def _work(self, me: Logical, body: Callable[[], object]) -> None:
        me.baton.acquire()
        try:
            if self._failure is None:
                if self._by_line:
                    sys.settrace(self._trace_call)
                body()
        except _Ended:
            pass
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            self._fail(error)
        finally:
            sys.settrace(None)
            self._leave(me)

    def _leave(self, me: Logical) -> None:
        """Notes the end of a thread, and lets another go on."""
        me.has_ended = True
        self._threads.remove(me)
        if self._failure is not None:
            return
        try:
            if self._threads:
                self._go_on(self._step(me))
            else:
                self._over.set()
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Ends all threads: each finds the failure where it pauses."""
        if self._failure is None:
            self._failure = error
            for thread in self._threads:
                if thread.baton.locked():
                    thread.baton.release()
            self._over.set()

    def _trace_call(self, frame: FrameType, event: str, _: object) -> Any:
        return self._trace_line if frame.f_code.co_filename in self._watched else None

    def _trace_line(self, frame: FrameType, event: str, _: object) -> Any:
        # What is checked between two steps may read lines of these files as well.
        if event == "line" and not self._is_between and self.random.random() < self._by_line:
            self.pause()
        return self._trace_line

    def _note(self, me: Logical, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code.co_filename in _OWN:
            frame = frame.f_back
        if frame is not None:
            self._trace.append((self.now, me.name, frame.f_code, frame.f_lineno))

    def _describe(self, error: BaseException) -> str:
        steps = [
            f"  {now - 1000:9.3f} s  {name:12} {Path(code.co_filename).name}:{line} {code.co_name}"
            for now, name, code, line in self._trace
        ]
        head = f"seed {self._seed}, step {self.steps}: {type(error).__name__}: {error}"
        return "\n".join([head, "its last steps (--schedule-seed gives them again):", *steps])
