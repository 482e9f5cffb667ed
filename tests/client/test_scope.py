"""What has been entered last holds, in its context first and then in the process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from gradwire.transport.scope import Scope


class Thing:
    """Something to enter; equal to others, so that identity is what counts."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_entries_nest() -> None:
    """The innermost holds, then the one outside of it; what was entered twice is left twice."""
    scope: Scope[Thing] = Scope("test")
    one, two = Thing(), Thing()
    assert scope.innermost() is None
    for thing in (one, two, one):
        scope.enter(thing)
        assert scope.innermost() is thing
    assert not scope.exit(one)
    assert scope.innermost() is two
    assert scope.exit(two)
    assert scope.innermost() is one
    assert scope.exit(one)
    assert scope.innermost() is None


def test_another_thread_falls_back_on_the_process() -> None:
    """It has no entries of its own; one that it makes holds there alone while it is open."""
    scope: Scope[Thing] = Scope("test")
    mine, theirs = Thing(), Thing()
    scope.enter(mine)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(scope.innermost).result() is mine
        pool.submit(scope.enter, theirs).result()
        assert pool.submit(scope.innermost).result() is theirs
        assert scope.innermost() is mine
        assert pool.submit(scope.exit, theirs).result()
        assert pool.submit(scope.innermost).result() is mine


def test_an_entry_may_end_in_another_context() -> None:
    """As that of a generator which is closed elsewhere; it holds nowhere any more."""
    scope: Scope[Thing] = Scope("test")
    outer, inner = Thing(), Thing()
    scope.enter(outer)
    scope.enter(inner)
    assert copy_context().run(scope.exit, inner)
    assert scope.innermost() is outer


def test_what_is_forgotten_has_no_entries() -> None:
    """However often it was entered."""
    scope: Scope[Thing] = Scope("test")
    one, two = Thing(), Thing()
    for thing in (one, two, two):
        scope.enter(thing)
    scope.forget(two)
    assert scope.innermost() is one
