"""Programs that break a rule are refused, with the place."""

from __future__ import annotations

import pytest

from gradwire.errors import InvalidProgramError
from gradwire.ir import Node
from gradwire_server.program.decode import decode_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from programs import function, node, program, vector
from refusals import GOOD, BadProgram
from refusals.rules import BAD_RULES

UNLIMITED = ProgramLimits(
    max_program_bytes=10**12,
    max_program_items=10**12,
    max_functions=10**12,
    max_nodes=10**12,
    max_nesting=10**12,
    max_derivative_order=10**12,
    max_trip_count=10**12,
    max_constant_bytes=10**12,
    max_tensor_bytes=10**12,
    max_matrix_rows=10**12,
    max_window_elements=10**24,
)


@pytest.mark.parametrize("bad", BAD_RULES, ids=lambda bad: bad.name)
def test_a_broken_rule_is_refused(bad: BadProgram) -> None:
    """A program that breaks a rule is refused, with class, reason, field, function and node.

    The bounds are no part of it: the rules hold without them.
    """
    with pytest.raises(bad.error) as caught:
        verify_program(decode_program(bad.data, UNLIMITED), UNLIMITED)
    error = caught.value
    assert type(error) is bad.error
    assert (error.reason, error.field) == (bad.reason, bad.field)
    assert (error.function, error.node) == bad.place
    assert "; got" in error.message


def test_functions_that_nobody_uses_are_checked_too() -> None:
    """A bad function is refused, even if the entry never uses it."""
    bad = function([vector(2)], node("add", [0], 1), results=[1])
    with pytest.raises(InvalidProgramError) as caught:
        verify_program(program(bad, *GOOD.functions[:1]))
    assert caught.value.field == "functions[0].nodes[0].inputs"


def bound(used: Node) -> object:
    typed = verify_program(program(function([vector(2)], used, results=[1])))
    return typed.entry.calls[0].attrs


def test_messages_stay_short() -> None:
    """What a message quotes of a program is cut, or the error itself would be too long."""
    long = "x" * 10_000
    for bad in (node(long, [0], 1), node("sin", [0], 1, **{long: 1})):
        with pytest.raises((InvalidProgramError, NotImplementedError)) as caught:
            bound(bad)
        assert len(str(caught.value)) < 500
