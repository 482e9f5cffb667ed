from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest

from gradwire.errors import GradwireError, InvalidProgramError, UnsupportedError
from gradwire.ir import Program, TypedProgram, encode_program
from gradwire.opset import OPS
from gradwire.opset.core import REQUIRED, At, AttrSpec, ByArray, Kind, NewAxis, OpDef, Range
from gradwire.tensors import TO_WIRE
from gradwire_server.program.canonical_form import canonical_bytes
from gradwire_server.program.decode import decode_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from mutations import mutations
from programs import chain, function, node, program, vector
from refusals import GOOD

LIMITS = ProgramLimits()
DERIVATIVES = program(
    chain("sin", 2, vector(3)),
    function(
        [vector(3)],
        node("jacobian", [0], 1, 2, functions=[0], chunk=2, mode="forward", wrt=(0,)),
        results=[2],
    ),
    function([vector(5, 3)], node("vmap", [0], 1, functions=[1], mapped=(1,)), results=[1]),
)


def verdict(found: bytes | Program) -> TypedProgram | GradwireError:
    try:
        if isinstance(found, bytes):
            found = decode_program(found, LIMITS)
        return verify_program(found, LIMITS)
    except GradwireError as error:
        return error


@pytest.mark.parametrize("original", [GOOD, DERIVATIVES], ids=["good", "derivatives"])
def test_damaged_programs_end_in_an_error_or_are_programs(original: Program) -> None:
    """2,000 ways to damage a program: a clear refusal or another program, and soon.

    What is still a program has an identity and comes back from the wire as it is.
    """
    refused = 0
    for data in mutations(encode_program(original), 2000, seed=1):
        start = time.thread_time()
        found = verdict(data)
        assert time.thread_time() - start < 1
        if isinstance(found, TypedProgram):
            again = verdict(encode_program(found.program))
            assert isinstance(again, TypedProgram)
            assert canonical_bytes(again) == canonical_bytes(found)
            continue
        assert isinstance(found, InvalidProgramError | UnsupportedError)
        assert found.field
        assert "got" in found.message or "parse" in found.message
        assert len(found.message) < 1000
        refused += 1
    assert 1000 < refused < 2000


TYPES = [
    *(vector(*shape) for shape in [(), (3,), (2, 3), (3, 3), (2, 3, 3), (0,), (1, 1)]),
    *(vector(*shape, dtype="complex64") for shape in [(), (3, 3)]),
    *(vector(*shape, dtype="int64") for shape in [(), (2,), (2, 3)]),
    *(vector(3, dtype=name) for name in ("bool", "uint32", "float32")),
    *(vector(2**20), vector(2**30, dtype="int8"), vector(0, 2**31 - 1)),
]
NUMBERS = [-(2**63), -(2**31), -4, -3, -2, -1, 0, 1, 2, 3, 4, 31, 32, 64, 2**20, 2**31, 2**63 - 1]
FLOATS = [0.0, -0.0, 0.5, 1.0, -1.0, 1e-300, 1e300, float("inf"), float("nan")]
ITEMS = [
    *(At(n) for n in (0, -1, 3, 2**62)),
    *(Range(a, b, c) for a in (None, -1, 2**62) for b in (None, 1) for c in (None, -2, 0, 2**62)),
    *(NewAxis(), ByArray()),
]


def some(random: Random, spec: AttrSpec) -> Any:
    """A value of an attribute's kind, often a small one, often absurd."""
    words = [*spec.choices, "", "forward", "i,i->", "no such word"]
    short = range(random.choice([0, 1, 1, 2, 3, 40]))
    values = NUMBERS[3:13] if random.random() < 0.7 else NUMBERS
    match spec.kind:
        case Kind.INT:
            return random.choice(values)
        case Kind.FLOAT:
            return random.choice(FLOATS)
        case Kind.COMPLEX:
            return complex(random.choice(FLOATS), random.choice(FLOATS))
        case Kind.BOOL:
            return random.random() < 0.5
        case Kind.WORD:
            return random.choice(words)
        case Kind.DTYPE:
            return random.choice(list(TO_WIRE))
        case Kind.INTS:
            return tuple(random.choice(values) for _ in short)
        case Kind.FLOATS:
            return tuple(random.choice(FLOATS) for _ in short)
        case Kind.WORDS:
            return tuple(random.choice(words) for _ in short)
        case Kind.INDEX:
            return tuple(random.choice(ITEMS) for _ in short)
        case Kind.TYPE:
            return random.choice(TYPES)


def nonsense(random: Random, op: OpDef) -> Program:
    """A program of one node with operands and attributes at random; sometimes it is sound."""
    type_ = random.choice(TYPES)
    used = [
        function([type_], node("stop_gradient", [0], 1), results=[1]),
        function([type_, vector()], results=[0, 1]),
        function([vector(3)], node("sum", [0], 1, axis=(0,), keepdims=False), results=[1]),
        function([], results=[]),
    ]
    least, greatest = op.arity
    count = random.randint(least, min(greatest, least + 3))
    params = [type_ if random.random() < 0.6 else random.choice(TYPES) for _ in range(count)]
    callees = [random.randrange(len(used)) for _ in range(random.randint(*op.function_range))]
    if callees and random.random() < 0.8:
        wanted = [param.type for param in used[callees[0]].params]
        params = wanted + random.choice([[], [], wanted, [vector(dtype="uint32")]])
    count = len(params)
    defaults = random.choice([0.0, 0.5, 1.0])
    attrs = {
        name: some(random, spec)
        for name, spec in op.attrs.items()
        if spec.default is REQUIRED or random.random() >= defaults
    }
    outputs = range(count, count + random.choice([1, 1, 2, 3]))
    last = node(op.name, range(count), *outputs, functions=callees, **attrs)
    return program(*used, function(params, last, results=outputs))


@pytest.mark.parametrize("name", sorted(OPS))
def test_no_rule_fails_otherwise_than_by_refusing(name: str) -> None:
    """An op's rule meets any operands and attributes with types or a refusal, at once."""
    random = Random(name)
    sound = 0
    for _ in range(60):
        entry = nonsense(random, OPS[name])
        start = time.thread_time()
        found = verdict(entry)
        assert time.thread_time() - start < 0.5
        if isinstance(found, TypedProgram):
            sound += 1
        else:
            assert found.function in (4, None)
    assert sound < 60
