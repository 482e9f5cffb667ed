from __future__ import annotations

import threading
import time

from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc.admission.unread_replies import UnreadReplies
from server_process import eventually

MIB = 2**20


class Unread:
    """Replies that nobody reads, and the names of those that were cancelled."""

    def __init__(self, watchdog: Watchdog, spared: int) -> None:
        self.short = threading.Event()
        self.cancelled: list[str] = []
        self.replies = UnreadReplies(spared, self.short.is_set, watchdog)

    def send(self, *peers: str, length: int = MIB) -> None:
        """Sends a reply to each peer. Its name is the peer's, and how many came before it."""
        for number, peer in enumerate(peers):
            name = f"{peer}{number}"
            self.replies.begin(peer, length, lambda name=name: self.cancelled.append(name))


def test_they_give_way_when_memory_is_short(watchdog: Watchdog) -> None:
    """Down to what is spared; the oldest of the peer that holds most, and none before that."""
    unread = Unread(watchdog, spared=2 * MIB + MIB // 2)
    unread.send(*"abbb")
    time.sleep(0.4)
    assert unread.cancelled == []
    unread.short.set()
    assert eventually(lambda: unread.cancelled == ["b1", "b2"])
    time.sleep(0.4)
    assert unread.cancelled == ["b1", "b2"]


def test_what_has_been_read_counts_no_more(watchdog: Watchdog) -> None:
    """So a caller that reads loses nothing, however much it has had; and it may end twice."""
    unread = Unread(watchdog, spared=2 * MIB)
    for _ in range(10):
        reply = unread.replies.begin("a", MIB, lambda: unread.cancelled.append("read"))
        unread.replies.end(reply)
        unread.replies.end(reply)
    unread.send("a")
    unread.short.set()
    time.sleep(0.4)
    assert unread.cancelled == []


def test_many_small_ones_count_as_what_grpc_holds_of_them(watchdog: Watchdog) -> None:
    """And all are looked at in a moment."""
    unread = Unread(watchdog, spared=MIB)
    unread.send(*"a" * 20_000, length=0)
    unread.short.set()
    assert eventually(lambda: len(unread.cancelled) == 20_000 - MIB // 2**14, 5)
