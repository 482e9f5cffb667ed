from __future__ import annotations

from gradwire_server.rpc.admission.bounds import Admission, Bound

CALLS = Bound("max_calls", 4, 4)
COMPUTES = Bound("max_waiting_executions", 1, 2)
CROWDED = Bound("max_wait_percent", 50)


def make(*, crowded: bool = False) -> Admission:
    return Admission(
        CALLS, {"Compute": COMPUTES}, {"Compute": lambda: CROWDED if crowded else None}
    )


def test_calls_are_bounded() -> None:
    """At the bound they are accepted, one over it is refused, and one that ends frees a place."""
    admission = make()
    assert [admission.enter("Prepare") for _ in range(4)] == [None] * 4
    assert admission.enter("Prepare") is CALLS
    assert admission.enter("Compute") is CALLS
    admission.leave("Prepare")
    assert admission.enter("Prepare") is None


def test_a_method_may_have_a_bound_of_its_own() -> None:
    """Beyond it there are still places for the others."""
    admission = make()
    assert [admission.enter("Compute") for _ in range(3)] == [None, None, COMPUTES]
    assert [admission.enter("Prepare") for _ in range(3)] == [None, None, CALLS]
    admission.leave("Compute")
    assert admission.enter("Compute") is None


def test_a_crowd_keeps_its_method_out() -> None:
    """And no other."""
    admission = make(crowded=True)
    assert admission.enter("Compute") is CROWDED
    assert admission.enter("Prepare") is None


def test_a_call_may_take_over_a_place() -> None:
    """Of one that leaves later: until then nothing else is accepted."""
    admission = make()
    assert [admission.enter("Compute") for _ in range(2)] == [None, None]
    admission.take_over("Compute")
    admission.leave("Compute")
    assert admission.enter("Compute") is COMPUTES
    admission.leave("Compute")
    assert admission.enter("Compute") is None
