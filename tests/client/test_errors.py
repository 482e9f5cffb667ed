"""The exceptions: what they are, and what they carry."""

from __future__ import annotations

import inspect
import re

import pytest

from gradwire import errors
from gradwire.errors import REASONS, GradwireError, OverloadedError, Reason

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, GradwireError)
]


def test_the_tree_in_the_documentation_is_the_tree() -> None:
    """Each class stands under its parent, beside the built-in one that it is too."""
    drawn: dict[str, tuple[str, str]] = {}
    above: list[tuple[int, str]] = []
    for line in (inspect.getdoc(errors) or "").splitlines():
        found = re.match(r"^([ │├└─]*)(\w+Error)(?: \((\w+)\))?", line)
        if found:
            depth, name = len(found[1]), found[2]
            above = [entry for entry in above if entry[0] < depth]
            drawn[name] = (above[-1][1] if above else "Exception", found[3] or "")
            above.append((depth, name))
    bases = {kind.__name__: [base.__name__ for base in kind.__bases__] for kind in CLASSES}
    assert drawn == {
        name: (parents[0], parents[1] if len(parents) > 1 else "")
        for name, parents in bases.items()
    }


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_carries_what_is_known(kind: type[GradwireError]) -> None:
    """Its text is the message alone; the call stands below it, and only if there was one."""
    error = kind("m", field="f", function=1, node=2, metadata={"limit": "x"}, call_id="c")
    assert str(error) == error.message == "m"
    assert (error.field, error.function, error.node) == ("f", 1, 2)
    assert (error.metadata, error.call_id) == ({"limit": "x"}, "c")
    assert error.__notes__ == ["(call c)"]
    plain = kind("m")
    assert plain.reason == kind.default_reason
    assert (plain.field, plain.function, plain.node, plain.metadata) == ("", None, None, {})
    assert not hasattr(plain, "__notes__")
    assert kind("m", reason=Reason.ERROR_REASON_DRAINING).reason == Reason.ERROR_REASON_DRAINING


@pytest.mark.parametrize("reason", REASONS, ids=Reason.Name)
def test_a_reason_is_that_of_its_exception_or_a_special_one(reason: Reason) -> None:
    """What is raised without a reason is read by a client as the class that was raised."""
    kind = REASONS[reason].exception
    assert REASONS[kind.default_reason].exception is kind


def test_an_overloaded_server_may_say_when_to_come_again() -> None:
    """In seconds; None if it hasn't."""
    assert OverloadedError("m", retry_after=1.5).retry_after == 1.5
    assert OverloadedError("m").retry_after is None
