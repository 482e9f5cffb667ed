"""Every value of a program has a type."""

from __future__ import annotations

from gradwire.opset.core import Signature
from gradwire_server.program.verify import verify_program
from programs import function, node, program, vector
from refusals import GOOD


def test_types_are_inferred_through_calls() -> None:
    """The entry's signature, every id's type and every node's call come with the program."""
    typed = verify_program(GOOD)
    assert typed.entry.signature == Signature((vector(3),), (vector(3),))
    assert dict(typed.infos[0].types) == dict.fromkeys(range(4), vector(3))
    call = typed.entry.calls[0]
    assert call.inputs == (vector(3),)
    assert call.functions == (typed.infos[0].signature,)


def test_an_id_may_have_any_number() -> None:
    """Ids are names: they need be neither small nor in order."""
    typed = verify_program(
        program(
            function(
                [vector(2)], node("sin", [0], 2**32 - 1), node("cos", [2**32 - 1], 5), results=[5]
            )
        )
    )
    assert typed.entry.signature.results == (vector(2),)


def test_an_empty_function_and_a_parameter_as_result_are_programs() -> None:
    """The least programs: nothing at all, and the input itself, twice."""
    assert verify_program(program(function([], results=[]))).entry.signature == Signature((), ())
    twice = verify_program(program(function([vector(2)], results=[0, 0]))).entry.signature
    assert twice.results == (vector(2), vector(2))
