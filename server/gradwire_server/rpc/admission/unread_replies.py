"""Bounds the replies that callers don't read: gRPC holds each until its caller has.

It must not import gRPC.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from gradwire_server.process.watchdog import Watchdog

_CHECK_SECONDS = 0.1
_CALL_BYTES = 16 * 1024
"""What gRPC holds of a call beside its reply, estimated."""


@dataclass(frozen=True, eq=False, slots=True)
class Reply:
    """A reply on its way: to which peer, what it takes, how to cancel its call."""

    peer: str
    num_bytes: int
    cancel: Callable[[], object]


class UnreadReplies:
    """The replies that gRPC has not sent in full.

    Their calls have ended: they hold neither places nor threads, and no bound on calls
    or requests counts them. Nothing is done while there is memory for them, since a
    caller may read slowly.
    """

    def __init__(
        self, spared_bytes: int, memory_is_short: Callable[[], bool], watchdog: Watchdog
    ) -> None:
        """Makes it.

        Args:
            spared_bytes: What may stay when memory is short.
            memory_is_short: Says whether it is, by a look at the system.
            watchdog: Looks while it runs.
        """
        self._spared_bytes = spared_bytes
        self._memory_is_short = memory_is_short
        self._lock = threading.Lock()
        self._replies: dict[Reply, None] = {}  # the oldest first
        self._num_bytes = 0
        watchdog.every(_CHECK_SECONDS, self._relieve)

    def begin(self, peer: str, length: int, cancel: Callable[[], object]) -> Reply:
        """Adds a reply.

        Args:
            peer: The address that it goes to, without the port.
            length: Its bytes.
            cancel: Ends its call.

        Returns:
            What ``end`` takes.
        """
        reply = Reply(peer, length + _CALL_BYTES, cancel)
        with self._lock:
            self._replies[reply] = None
            self._num_bytes += reply.num_bytes
        return reply

    def end(self, reply: Reply) -> None:
        """Removes a reply: it has been sent, or its call was cancelled."""
        with self._lock:
            self._remove(reply)

    def _remove(self, reply: Reply) -> None:
        if reply in self._replies:
            del self._replies[reply]
            self._num_bytes -= reply.num_bytes

    def _relieve(self) -> None:
        """Cancels replies while memory is short: the oldest of the peer that has most."""
        if self._num_bytes <= self._spared_bytes or not self._memory_is_short():
            return
        late = []
        with self._lock:
            held: Counter[str] = Counter()
            oldest: defaultdict[str, deque[Reply]] = defaultdict(deque)
            for reply in self._replies:
                held[reply.peer] += reply.num_bytes
                oldest[reply.peer].append(reply)
            while self._num_bytes > self._spared_bytes:
                (peer, _), *_ = held.most_common(1)
                reply = oldest[peer].popleft()
                held[peer] -= reply.num_bytes
                self._remove(reply)
                late.append(reply)
        for reply in late:
            reply.cancel()
