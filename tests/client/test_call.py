"""One call keeps its identity and its time over all attempts."""

from __future__ import annotations

import time

from gradwire.transport.call import Call, client_version, program_key


def test_attempts_are_numbered_and_keep_the_id() -> None:
    """The first is 0; another call has another id."""
    call = Call("route", 10, "bound")
    contexts = [call.next_context() for _ in range(3)]
    assert [context.attempt for context in contexts] == [0, 1, 2]
    assert {context.call_id for context in contexts} == {call.id}
    assert {context.client_version for context in contexts} == {client_version()}
    assert call.id != Call("route", 10, "bound").id


def test_the_deadline_can_be_extended() -> None:
    """By so many seconds, which messages count too."""
    call = Call("", 100, "bound")
    before = call.deadline
    call.extend(50)
    assert call.deadline == before + 50
    assert 140 < call.left() <= 150
    assert call.seconds == 150


def test_only_a_call_whose_time_is_over_says_how_much_it_was() -> None:
    """While some is left the time that ran out is another's, such as a proxy's."""
    call = Call("", 100, "`timeout`")
    assert call.allowed() == ""
    call.deadline = time.monotonic() - 1
    assert call.allowed() == "100 s, `timeout`"


def test_a_program_is_named_with_its_precision() -> None:
    """Each pair has a name of its own, the same at every call."""
    pairs = [(b"a", "high"), (b"a", "fast"), (b"b", "high")]
    names = {program_key(*pair) for pair in pairs}
    assert len(names) == len(pairs)
    assert names == {program_key(*pair) for pair in pairs}
    assert {len(name) for name in names} == {64}
