from __future__ import annotations

import math
import struct
import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradwire.errors import InvalidProgramError, LimitExceededError
from gradwire.ir import Program, encode_program
from gradwire.opset import OPS
from gradwire.opset.core import At, AttrSpec, ByArray, Kind, NewAxis, OpDef, Range
from gradwire.tensors import BFLOAT16, TO_WIRE, TensorType
from gradwire.v1 import function_pb2 as pb
from gradwire_server.program.decode import decode_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from programs import function, node, program, vector
from refusals import GOOD, BadProgram
from refusals.form import BAD_FORM

LIMITS = ProgramLimits()
OP = "test.every_kind"

int64 = st.integers(-(2**63), 2**63 - 1)
uint32 = st.integers(0, 2**32 - 1)
number = st.floats()
dtypes = st.sampled_from(list(TO_WIRE))
types = st.builds(TensorType, dtypes, st.lists(st.integers(0, 3), max_size=3).map(tuple))
bounds = st.none() | int64
VALUES: Mapping[Kind, st.SearchStrategy[Any]] = {
    Kind.INT: int64,
    Kind.FLOAT: number,
    Kind.COMPLEX: st.builds(complex, number, number),
    Kind.BOOL: st.booleans(),
    Kind.WORD: st.text(),
    Kind.DTYPE: dtypes,
    Kind.INTS: st.lists(int64).map(tuple),
    Kind.FLOATS: st.lists(number).map(tuple),
    Kind.WORDS: st.lists(st.text()).map(tuple),
    Kind.INDEX: st.lists(
        st.builds(At, int64)
        | st.builds(Range, bounds, bounds, bounds)
        | st.just(NewAxis())
        | st.just(ByArray())
    ).map(tuple),
    Kind.TYPE: types,
}


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    type_ = draw(types)
    count = type_.nbytes
    raw = np.frombuffer(draw(st.binary(min_size=count, max_size=count)), np.uint8)
    raw = raw % 2 if type_.dtype.kind == "b" else raw
    return raw.view(type_.dtype).reshape(type_.shape)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Programs of any form, most of which break a rule of the language."""
    ids = st.lists(uint32, max_size=3)
    functions = []
    for _ in range(draw(st.integers(0, 3))):
        nodes = [
            node(
                OP,
                draw(ids),
                *draw(ids),
                functions=draw(ids),
                **{
                    kind: draw(VALUES[kind])
                    for kind in draw(st.lists(st.sampled_from(list(Kind)), unique=True))
                },
            )
            for _ in range(draw(st.integers(0, 2)))
        ]
        functions.append(
            function(
                draw(st.lists(types, max_size=2)),
                *nodes,
                results=draw(ids),
                constants=draw(st.lists(arrays(), max_size=2)),
                name=draw(st.text()),
            )
        )
    mapped = draw(st.lists(st.booleans(), max_size=3))
    return Program(tuple(functions), draw(uint32), tuple(mapped))


def bits(value: Any) -> Any:
    """A value with its floats as their bits, so that NaN equals itself and 0.0 not -0.0."""
    match value:
        case bool() | str() | None:
            return value
        case float():
            return struct.pack("<d", value)
        case complex():
            return struct.pack("<2d", value.real, value.imag)
        case tuple():
            return tuple(map(bits, value))
        case np.ndarray():
            return value.dtype, value.shape, value.tobytes()
        case int() | np.dtype() | TensorType() | At() | Range() | NewAxis() | ByArray():
            return type(value), value
    raise TypeError(value)


def plain(value: Program) -> Any:
    """A program as tuples that are equal only where every bit is."""
    return (
        value.opset,
        value.entry,
        value.mapped,
        [
            (
                f.name,
                f.params,
                [(c.id, bits(c.value)) for c in f.constants],
                [
                    (
                        *(n.op, n.inputs, n.outputs, n.functions),
                        *((name, bits(n.attrs[name])) for name in sorted(n.attrs)),
                    )
                    for n in f.nodes
                ],
                f.results,
            )
            for f in value.functions
        ],
    )


@pytest.fixture(autouse=True, scope="module")
def every_kind() -> Any:
    """Puts an op with an attribute of every kind into the table."""
    attrs = {kind.value: AttrSpec(kind, "") for kind in Kind}
    OPS[OP] = OpDef(OP, "", lambda call: [], attrs=attrs)
    yield
    del OPS[OP]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs())
def test_a_program_comes_back_as_it_was(original: Program) -> None:
    """Every bit of a program survives the wire, kinds of attributes included."""
    data = encode_program(original)
    back = decode_program(data, LIMITS)
    assert plain(back) == plain(original)
    assert encode_program(back) == data


@pytest.mark.parametrize("kind", [Kind.INTS, Kind.FLOATS, Kind.WORDS, Kind.INDEX])
def test_an_empty_list_is_of_the_tables_kind(kind: Kind) -> None:
    """() of ints and () of floats are different bytes: the table says which is meant."""
    empty = program(function([], node(OP, [], **{kind: ()}), results=[]))
    data = encode_program(empty)
    assert decode_program(data, LIMITS) == empty
    written = pb.Program.FromString(data).functions[0].nodes[0].attrs[0].value
    assert written.WhichOneof("kind") == kind


def test_nan_keeps_its_payload() -> None:
    """Even the bits of a NaN travel, in attributes and constants alike."""
    payload = struct.unpack("<d", bytes.fromhex("efbeadde0000f87f"))[0]
    original = program(
        function([], node(OP, [], f=payload), results=[], constants=[np.array(payload)])
    )
    back = decode_program(encode_program(original), LIMITS).functions[0]
    assert struct.pack("<d", back.nodes[0].attrs["f"]).hex() == "efbeadde0000f87f"
    assert back.constants[0].value.tobytes().hex() == "efbeadde0000f87f"


def test_negative_zero_keeps_its_sign() -> None:
    """Protobuf leaves default values out, but -0.0 is none."""
    original = program(function([], node(OP, [], c=complex(-0.0, -0.0), f=-0.0), results=[]))
    attrs = decode_program(encode_program(original), LIMITS).functions[0].nodes[0].attrs
    assert math.copysign(1, attrs["f"]) == -1
    assert math.copysign(1, attrs["c"].real) == math.copysign(1, attrs["c"].imag) == -1


def test_the_order_of_attributes_does_not_show() -> None:
    """Equal programs give equal bytes, in whatever order attributes were named."""
    one = program(function([], node(OP, [], b=True, i=1), results=[]))
    two = program(function([], node(OP, [], i=1, b=True), results=[]))
    assert encode_program(one) == encode_program(two)


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**63) - 1, (1, 2**63), (1, 1.0), (None,), None, [1], np.dtype("S1"), b"", "\ud800"],
    ids=repr,
)
def test_a_value_that_does_not_fit_is_refused(value: Any) -> None:
    """What can't be written on the wire is an error, with its node."""
    with pytest.raises(InvalidProgramError, match=r"`i`") as caught:
        encode_program(program(function([], node(OP, [], i=value), results=[])))
    assert caught.value.field == "functions[0].nodes[0].attrs"
    assert (caught.value.function, caught.value.node) == (0, 0)


def test_values_are_not_converted() -> None:
    """True where the table has an int is written as a truth value, and is refused."""
    data = encode_program(program(function([], node(OP, [], i=True), results=[])))
    with pytest.raises(InvalidProgramError, match=r"must be of kind `i`; got `b`"):
        decode_program(data, LIMITS)


@pytest.mark.parametrize("bad", BAD_FORM, ids=lambda bad: bad.name)
def test_bad_form_is_refused(bad: BadProgram) -> None:
    """What isn't understood in full is refused, with class, reason, field, function and node."""
    with pytest.raises(bad.error) as caught:
        decode_program(bad.data, LIMITS)
    error = caught.value
    assert type(error) is bad.error
    assert (error.reason, error.field) == (bad.reason, bad.field)
    assert (error.function, error.node) == bad.place
    assert f"`{bad.field}`" in error.message


def test_the_good_program_is_good() -> None:
    """What the bad programs were made of is none itself."""
    assert verify_program(decode_program(encode_program(GOOD), LIMITS)).sizes[-1].num_nodes == 4


@pytest.mark.parametrize(("limit", "got"), [("max_program_bytes", None), ("max_program_items", 23)])
def test_bytes_and_items_are_bounded(limit: str, got: int | None) -> None:
    """A program at the bound is read, one over it is not."""
    data = encode_program(GOOD)
    got = got or len(data)
    decode_program(data, replace(LIMITS, **{limit: got}))
    with pytest.raises(LimitExceededError) as caught:
        decode_program(data, replace(LIMITS, **{limit: got - 1}))
    assert caught.value.field == limit
    assert caught.value.metadata == {"limit": limit, "allowed": str(got - 1), "got": str(got)}


def test_bytes_are_bounded_before_they_are_parsed() -> None:
    """Bytes over the bound are refused for their number, whatever they are."""
    with pytest.raises(LimitExceededError):
        decode_program(b"\xff" * 11, replace(LIMITS, max_program_bytes=10))


@pytest.mark.parametrize(
    "parts",
    [b"\x12\x00", b"\x12\x02\x2a\x00", b"\x12\x04\x22\x02\x22\x00", b"\x20\x01"],
    ids=["functions", "results", "attributes", "flags"],
)
def test_many_small_parts_do_not_fill_the_memory(parts: bytes) -> None:
    """4 MiB of nearly empty parts are counted and refused, not made into objects."""
    data = b"\x08\x01" + parts * (2**21 * 2 // len(parts) - 1)
    assert len(data) <= LIMITS.max_program_bytes
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceededError) as caught:
            decode_program(data, LIMITS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.field == "max_program_items"
    assert peak < 2**20


def test_a_long_program_is_read_quickly() -> None:
    """2,000 nodes with attributes take well under 100 ms."""
    nodes = [node("integer_pow", [i], i + 1, exponent=2) for i in range(2000)]
    data = encode_program(program(function([vector(3)], *nodes, results=[2000])))
    seconds = []
    for _ in range(5):
        start = time.thread_time()
        decode_program(data, LIMITS)
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.1


def test_constants_are_views_that_cannot_be_written() -> None:
    """A constant that was read stays what the bytes say."""
    value = decode_program(encode_program(GOOD), LIMITS).functions[0].constants[0].value
    assert not value.flags.writeable


def test_bfloat16_and_big_endian_constants_arrive() -> None:
    """The wire is little endian whatever the caller's arrays are."""
    values = [np.arange(3, dtype=">f8"), np.arange(3).astype(BFLOAT16)]
    original = program(function([], results=[0, 1], constants=values))
    back = decode_program(encode_program(original), LIMITS).functions[0].constants
    for constant, value in zip(back, values, strict=True):
        assert constant.value.dtype == value.dtype.newbyteorder("=")
        np.testing.assert_array_equal(constant.value, value)


def test_a_constant_of_no_dtype_of_ours_is_refused() -> None:
    """Dtypes that don't travel are named when the program is written."""
    bad = program(function([], results=[0], constants=[np.zeros(3, "datetime64[s]")]))
    with pytest.raises(InvalidProgramError) as caught:
        encode_program(bad)
    assert caught.value.field == "functions[0].constants[0].value"
