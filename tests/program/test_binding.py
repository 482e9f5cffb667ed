"""Attributes are fitted to what the table says of an op."""

from __future__ import annotations

import numpy as np
import pytest

from gradwire.errors import InvalidProgramError
from gradwire.ir import Node
from gradwire.opset import OPS
from gradwire.opset.core import REQUIRED, AttrSpec, Kind, OpDef
from gradwire_server.program.verify import verify_program
from programs import function, node, program, vector


@pytest.fixture
def op_with_attributes(monkeypatch: pytest.MonkeyPatch) -> str:
    attrs = {
        "needed": AttrSpec(Kind.INT, "", REQUIRED),
        "word": AttrSpec(Kind.WORD, "", "one", choices=("one", "two")),
        "axes": AttrSpec(Kind.INTS, "", (1, 2)),
    }
    op = OpDef("test.attributes", "", lambda call: [call.inputs[0]], attrs=attrs)
    monkeypatch.setitem(OPS, op.name, op)
    return op.name


def bound(used: Node) -> object:
    typed = verify_program(program(function([vector(2)], used, results=[1])))
    return typed.entry.calls[0].attrs


def test_defaults_are_filled_in(op_with_attributes: str) -> None:
    """Rules and lowerings see every attribute, named or not."""
    assert bound(node(op_with_attributes, [0], 1, needed=3)) == {
        "needed": 3,
        "word": "one",
        "axes": (1, 2),
    }
    assert bound(node(op_with_attributes, [0], 1, needed=3, word="two", axes=())) == {
        "needed": 3,
        "word": "two",
        "axes": (),
    }


@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"needed": True},
        {"needed": 1.0},
        {"needed": "1"},
        {"needed": np.int64(1)},
        {"needed": 1, "word": "three"},
        {"needed": 1, "word": 1},
        {"needed": 1, "axes": (1.0,)},
        {"needed": 1, "axes": (True,)},
        {"needed": 1, "axes": 1},
        {"needed": 1, "Needed": 1},
    ],
    ids=repr,
)
def test_attributes_are_checked(op_with_attributes: str, attrs: dict[str, object]) -> None:
    """Missing, unknown, of another kind or outside the choices: refused, with the node."""
    with pytest.raises(InvalidProgramError, match="`functions") as caught:
        bound(node(op_with_attributes, [0], 1, **attrs))  # type: ignore[arg-type]
    assert (caught.value.function, caught.value.node) == (0, 0)
