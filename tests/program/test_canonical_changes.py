from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from canonical_reader import Reader, exact, normal
from gradwire.ir import Program, TypedProgram
from gradwire.opset import OPS
from gradwire.opset.core import At, AttrSpec, ByArray, Kind, NewAxis, OpDef, Range
from gradwire.tensors import Array
from gradwire_server.program.canonical_form import canonical_bytes
from gradwire_server.program.verify import verify_program
from programs import chain, function, node, program, vector

V = vector(3)


def encoded(value: Program) -> bytes:
    return canonical_bytes(verify_program(value))


def with_attribute(value: Any) -> TypedProgram:
    """A program whose node has ``value`` as an attribute, whatever its kind."""
    typed = verify_program(
        program(function([V], node("integer_pow", [0], 1, exponent=1), results=[1]))
    )
    (call,) = typed.entry.calls
    info = replace(typed.entry, calls=(replace(call, attrs={"exponent": value}),))
    return replace(typed, infos=(info,))


VALUES = [
    *(1, True, 1.0, 1 + 0j, "1", 0, False, 0.0, -0.0, 0j, complex(0.0, -0.0), complex(-0.0, 0.0)),
    *(-1, 2**63 - 1, 2**70, "", "1.0", None, "None", float("inf"), float("nan"), -float("nan")),
    *(struct.unpack("<d", b"\1\0\0\0\0\0\xf8\x7f")),
    *(np.dtype(name) for name in ("bool", "int32", "int64", "uint32", "float32", "complex64")),
    *((), (1,), (1, 2), (2, 1), (12,), (True,), (1.0,), (0.0,), (-0.0,), ("1",), ("1", "2")),
    *(("12",), ("1", ""), ("", "1"), ("",)),
    *(vector(), vector(1), vector(1, 1), vector(0), vector(1, dtype="float32")),
    *((At(1),), (At(-1),), (At(1), At(1)), (NewAxis(),), (ByArray(),), (NewAxis(), ByArray())),
    *((Range(a, b, c),) for a, b, c in itertools.product((None, 0, 1), repeat=3)),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_can_be_read_back(value: Any) -> None:
    """Attributes of every kind keep their type and every bit."""
    (_, _, nodes, _, _) = Reader(canonical_bytes(with_attribute(value))).program()[2][0]
    assert nodes[0][3] == {"exponent": exact(value)}


def test_no_two_values_are_the_same() -> None:
    """1, True and 1.0 differ, 0.0 and -0.0, one NaN and another, (1, 2) and (12,)."""
    written = {canonical_bytes(with_attribute(value)) for value in VALUES}
    assert len(written) == len(VALUES)


def test_what_is_no_attribute_is_an_error() -> None:
    """An object that has no encoding is never silently left out."""
    with pytest.raises(TypeError, match="got"):
        canonical_bytes(with_attribute(object()))


# --- each single thing that can change a result ---------------------------------------


def constant(value: Array) -> Program:
    return program(function([], results=[0], constants=[value]))


def two_calls(first: int, second: int) -> Program:
    """cos(sin(x)), or another choice of the two functions."""
    return program(
        chain("sin", 1, V),
        chain("cos", 1, V),
        function(
            [V],
            node("call", [0], 1, functions=[first]),
            node("call", [1], 2, functions=[second]),
            results=[2],
        ),
    )


def ruled(jvp: int | None = None, vjp: tuple[int, int] | None = None) -> Program:
    """A function with one of several rules, which come after it, under a call."""
    plain = chain("sin", 1, V)
    rule = function([V, V], node("sin", [0], 2), node("multiply", [2, 1], 3), results=[2, 3])
    other = function([V, V], node("call", [0], 2, functions=[0]), results=[2, 1])
    call = function([V], node("call", [0], 1, functions=[0]), results=[1])
    table = [plain, chain("cos", 1, V), rule, other, chain("tan", 1, V), call]
    forward = function([V], node("sin", [0], 1), results=[1, 1])
    if vjp is not None:
        table[0], vjp = replace(table[0], custom_vjp=(5, vjp[1])), None
        backward = function([V, V], node("multiply", [0, 1], 2), results=[2])
        table[1], table[4] = backward, replace(backward, results=(1,))
        table[5:] = [forward, call]
    else:
        table[0] = replace(table[0], custom_jvp=jvp)
    return program(*table)


def subtract(*inputs: int, results: tuple[int, ...] = (2,), mapped: Any = None) -> Program:
    return program(function([V, V], node("subtract", inputs, 2), results=results), mapped=mapped)


def jacobian(**attrs: Any) -> Program:
    used = node("jacobian", [0], 1, 2, functions=[0], **attrs)
    return program(chain("sin", 1, V), function([V], used, results=[2]))


ONES = np.ones((2, 3))
PAYLOAD = np.frombuffer(b"\1\0\0\0\0\0\xf8\x7f")
CHANGES: Mapping[str, tuple[Program, Program]] = {
    "op": (program(chain("sin", 1, V)), program(chain("cos", 1, V))),
    "one_node_more": (program(chain("sin", 1, V)), program(chain("sin", 2, V))),
    "order_of_inputs": (subtract(0, 1), subtract(1, 0)),
    "one_input_twice": (subtract(0, 1), subtract(0, 0)),
    "results": (subtract(0, 1), subtract(0, 1, results=(1,))),
    "number_of_results": (subtract(0, 1), subtract(0, 1, results=(2, 2))),
    "order_of_results": (
        subtract(0, 1, results=(1, 2)),
        subtract(0, 1, results=(2, 1)),
    ),
    "mapped": (subtract(0, 1, mapped=(True, False)), subtract(0, 1, mapped=(False, True))),
    "mapped_at_all": (subtract(0, 1), subtract(0, 1, mapped=(False, True))),
    "shape": (program(chain("sin", 1, vector(3))), program(chain("sin", 1, vector(4)))),
    "shape_of_one_column": (
        program(chain("sin", 1, vector(3))),
        program(chain("sin", 1, vector(3, 1))),
    ),
    "dtype": (program(chain("sin", 1, V)), program(chain("sin", 1, vector(3, dtype="float32")))),
    "parameter_that_nobody_reads": (
        program(function([V], results=[0])),
        program(function([V, V], results=[0])),
    ),
    "parameter_for_a_constant": (
        program(function([V], results=[0])),
        program(function([], results=[0], constants=[np.zeros(3)])),
    ),
    "value_of_a_constant": (constant(np.array(1.0)), constant(np.array(1.0 + 2**-52))),
    "sign_of_a_zero": (constant(np.array(0.0)), constant(np.array(-0.0))),
    "bits_of_a_nan": (constant(np.array([np.nan])), constant(PAYLOAD)),
    "dtype_of_a_constant": (constant(np.array(1, "int32")), constant(np.array(1, "uint32"))),
    "true_and_one": (constant(np.array(True)), constant(np.array(1, "uint8"))),
    "shape_of_a_constant": (constant(ONES), constant(ONES.reshape(3, 2))),
    "shape_of_an_empty_constant": (constant(np.ones((0, 3))), constant(np.ones((3, 0)))),
    "order_of_constants": (
        program(function([], results=[0], constants=[np.zeros(1), np.ones(1)])),
        program(function([], results=[0], constants=[np.ones(1), np.zeros(1)])),
    ),
    "attribute": (jacobian(chunk=1), jacobian(chunk=2)),
    "attribute_and_default": (jacobian(), jacobian(chunk=2)),
    "mode": (jacobian(mode="forward"), jacobian(mode="reverse")),
    "function": (two_calls(0, 1), two_calls(0, 0)),
    "order_of_functions": (two_calls(0, 1), two_calls(1, 0)),
    "entry": (two_calls(0, 1), replace(two_calls(0, 1), entry=0, mapped=(False,))),
    "rule": (ruled(jvp=2), ruled()),
    "another_rule": (ruled(jvp=2), ruled(jvp=3)),
    "two_rules": (ruled(vjp=(0, 1)), ruled(vjp=(0, 4))),
    "rule_that_is_two": (ruled(vjp=(0, 1)), ruled()),
    "node_that_nobody_reads": (
        program(chain("sin", 1, V)),
        program(function([V], node("sin", [0], 1), node("cos", [0], 2), results=[1])),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_shows(name: str) -> None:
    """Each thing that can change a result, and nothing else, changes the bytes."""
    one, other = CHANGES[name]
    assert encoded(one) != encoded(other)


def test_no_two_of_all_these_are_the_same() -> None:
    """As many encodings as there are different programs above."""
    distinct = {repr(normal(value)) for pair in CHANGES.values() for value in pair}
    assert len({encoded(value) for pair in CHANGES.values() for value in pair}) == len(distinct)


def test_the_opset_counts() -> None:
    """The same ops of another opset may mean something else."""
    typed = verify_program(two_calls(0, 1))
    later = replace(typed, program=replace(typed.program, opset=2))
    assert canonical_bytes(later) != canonical_bytes(typed)


def test_a_default_that_changes_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another default in the table, the program that leaves it out is another one."""
    written = []
    for default in (0, 1):
        spec = AttrSpec(Kind.INT, "", default)
        op = OpDef("test.default", "", lambda call: [call.inputs[0]], attrs={"x": spec})
        monkeypatch.setitem(OPS, op.name, op)
        written.append(encoded(program(function([V], node("test.default", [0], 1), results=[1]))))
    assert written[0] != written[1]


def test_byte_order_and_layout_of_constants_do_not_count() -> None:
    """Equal values of equal type are the same constant, however they lie in memory."""
    value = np.arange(6.0).reshape(2, 3)
    for same in (value.astype(">f8"), np.asfortranarray(value), value[:, ::-1][:, ::-1]):
        assert encoded(constant(same)) == encoded(constant(value))
