"""Programs are planned: what is open is settled, and checked again."""

from __future__ import annotations

import pytest

from gradwire.errors import InvalidProgramError, LimitExceededError, UnsupportedError
from gradwire.ir import Program
from gradwire_server.planner.choices import Choice, apply_choices
from gradwire_server.planner.plan import plan_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from planned import judge, settle
from programs import function, node, program, vector


def _jacobian(**attrs: str) -> Program:
    inner = function([vector(3)], node("matmul", [0, 0], 1), results=[1])
    outer = node("jacobian", [0], 1, 2, functions=[0], **attrs)
    return program(inner, function([vector(3)], outer, results=[2]))


def test_choices_name_function_and_node() -> None:
    """Only what the program left open is chosen."""
    assert judge(_jacobian()).choices == (Choice(1, 0, "mode", "reverse"),)
    assert judge(_jacobian(mode="forward")).choices == ()


def test_a_settled_program_says_what_was_chosen() -> None:
    """It is the program that sets the attribute itself, and leaves nothing open."""
    settled = settle(_jacobian())
    assert settled.program == _jacobian(mode="reverse")
    assert judge(settled.program).choices == ()
    fixed = verify_program(_jacobian(mode="forward"))
    assert apply_choices(fixed, ()) is fixed


def test_a_choice_that_is_not_offered_is_refused() -> None:
    """The compiler trusts no choices."""
    verified = verify_program(_jacobian())
    for wrong in (Choice(1, 0, "mode", "sideways"), Choice(1, 0, "module", "reverse")):
        with pytest.raises(InvalidProgramError, match=r"functions\[1\].nodes\[0\]"):
            apply_choices(verified, [wrong])


def test_the_chosen_direction_is_measured() -> None:
    """The bound of the least costly one lets a program pass, that of the chosen one decides."""
    loop = node("while_loop", [0], 1, functions=[0, 1])
    total = node("sum", [0], 1, axis=(0,))
    going = function([vector(50)], total, node("less", [1, 1], 2), results=[2])
    body = function([vector(50)], node("negative", [0], 1), results=[1])
    f = function([vector(50)], loop, node("sum", [1], 2, axis=(0,)), results=[2])
    outer = function([vector(50)], node("jacobian", [0], 1, 2, functions=[2]), results=[2])
    source = program(going, body, f, outer)
    # One reverse sweep is not possible through this loop; 50 forward ones keep 2,500 elements.
    limits = ProgramLimits(max_tensor_elements=2499)
    verified = verify_program(source, limits)
    with pytest.raises(LimitExceededError, match="`max_tensor_elements` is 2499"):
        plan_program(verified, limits)
    planned = plan_program(verified, ProgramLimits(max_tensor_elements=2500))
    assert planned.choices == (Choice(3, 0, "mode", "forward"),)
    assert planned.size.widest == 2500
    assert verified.sizes[-1].widest == 50


def test_derivatives_of_what_was_chosen_are_checked() -> None:
    """Where neither direction is open, the error names the node that prevents it."""
    inner = function([vector(3)], node("nextafter", [0, 0], 1), results=[1])
    outer = node("jacobian", [0], 1, 2, functions=[0])
    verified = verify_program(program(inner, function([vector(3)], outer, results=[2])))
    with pytest.raises(UnsupportedError) as caught:
        plan_program(verified)
    assert (caught.value.function, caught.value.node) == (0, 0)
