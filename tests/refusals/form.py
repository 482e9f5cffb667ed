"""Bytes that are no program, or that say something which isn't understood in full."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import Message

from gradwire.errors import Reason, UnsupportedError
from gradwire.ir import encode_program
from gradwire.v1 import function_pb2 as pb
from gradwire.v1.tensor_pb2 import TensorType
from programs import unary, vector
from refusals.core import MALFORMED, BadProgram, add_attr, attr, constant, edited

FUTURE = b"\xf8\x07\x01"
"""Field 127, which no message has, with the value 1."""

_GOOD_BYTES = edited("good", lambda m: None, "").data
_NODE = "functions[0].nodes[0]"
_VALUE = f"{_NODE}.attrs[0].value"
_ITEMS = f"{_NODE}.attrs[1].value.index.items"
_SHAPE = "functions[1].params[0].type.shape"
_DATA = "functions[0].constants[0].value.data"


def _from_the_future(path: str, find: Callable[[pb.Program], Message]) -> BadProgram:
    return edited(
        f"future_field_in_{path or 'program'}",
        lambda m: find(m).MergeFromString(FUTURE),
        f"{path}.127" if path else "127",
        MALFORMED,
    )


def _subscript(name: str, field: str, *items: pb.IndexItem) -> BadProgram:
    index = pb.IndexSpec(items=items)
    return edited(name, add_attr("index", index=index), f"{_ITEMS}{field}", MALFORMED)


def _no_floats_for_no_ints() -> BadProgram:
    name = pb.NamedAttr(name="wrt", value=pb.Attr(doubles=pb.Doubles()))
    more = pb.Program(functions=[pb.Function(nodes=[pb.Node(op="grad", attrs=[name])])])
    return BadProgram(
        "attribute_no_floats_for_no_ints",
        encode_program(unary("sin", type_=vector())) + more.SerializeToString(),
        "functions[1].nodes[0].attrs[0].value",
    )


def _varint(value: int) -> bytes:
    groups = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def _shape(name: str, *dims: int) -> BadProgram:
    """A parameter whose shape is given in varints, of which some are no int64."""
    shape = b"".join(map(_varint, dims))
    packed = b"\x08\x0d\x12" + _varint(len(shape)) + shape  # float64, then field 2
    return edited(name, lambda m: m.functions[1].params[0].type.ParseFromString(packed), _SHAPE)


_BYTES = [
    BadProgram("no_protobuf", b"\xff\xff\xff", "program", MALFORMED),
    BadProgram("truncated", _GOOD_BYTES[:-1], "program", MALFORMED),
    BadProgram("text_not_utf8", b"\x08\x01\x12\x03\x0a\x01\xff", "program", MALFORMED),
    BadProgram("no_bytes", b"", "opset", Reason.ERROR_REASON_UNKNOWN_OPSET, UnsupportedError),
]

_FUTURE = [
    _from_the_future("", lambda m: m),
    _from_the_future("functions[1]", lambda m: m.functions[1]),
    _from_the_future("functions[0].params[0]", lambda m: m.functions[0].params[0]),
    _from_the_future("functions[0].params[0].type", lambda m: m.functions[0].params[0].type),
    _from_the_future("functions[0].constants[0]", constant),
    _from_the_future("functions[0].constants[0].value", lambda m: constant(m).value),
    _from_the_future("functions[0].nodes[1]", lambda m: m.functions[0].nodes[1]),
    _from_the_future(f"{_NODE}.attrs[0]", attr),
    _from_the_future(_VALUE, lambda m: attr(m).value),
    _from_the_future(f"{_VALUE}.c", lambda m: attr(m).value.c),
    _from_the_future(f"{_VALUE}.ints", lambda m: attr(m).value.ints),
    _from_the_future(f"{_VALUE}.doubles", lambda m: attr(m).value.doubles),
    _from_the_future(f"{_VALUE}.strings", lambda m: attr(m).value.strings),
    _from_the_future(f"{_VALUE}.type", lambda m: attr(m).value.type),
    _from_the_future(f"{_VALUE}.index", lambda m: attr(m).value.index),
    _from_the_future(f"{_VALUE}.index.items[0]", lambda m: attr(m).value.index.items.add()),
    _from_the_future(
        f"{_VALUE}.index.items[0].slice", lambda m: attr(m).value.index.items.add().slice
    ),
    edited(
        "future_kind_of_attribute",
        lambda m: attr(m).value.ParseFromString(FUTURE),
        f"{_VALUE}.127",
        MALFORMED,
    ),
    # A known number with another wire type is an unknown field to protobuf.
    edited(
        "field_of_another_type",
        lambda m: m.functions[1].nodes[1].MergeFromString(b"\x08\x01"),
        "functions[1].nodes[1].1",
        MALFORMED,
    ),
]

_UNSET = [
    edited(
        "attribute_not_set", lambda m: attr(m).value.ClearField("i"), f"{_VALUE}.kind", MALFORMED
    ),
    edited(
        "attribute_without_value",
        lambda m: attr(m).ClearField("value"),
        f"{_VALUE}.kind",
        MALFORMED,
    ),
    _subscript("subscript_not_set", "[0].kind", pb.IndexItem()),
    _subscript("new_axis_false", "[1].new_axis", pb.IndexItem(at=0), pb.IndexItem(new_axis=False)),
    _subscript("array_false", "[0].array", pb.IndexItem(array=False)),
    edited("dtype_attribute_0", add_attr("x", dtype=0), f"{_NODE}.attrs[1].value", MALFORMED),
    edited("dtype_attribute_99", add_attr("x", dtype=99), f"{_NODE}.attrs[1].value", MALFORMED),
    edited(
        "type_attribute_without_dtype",
        add_attr("x", type=TensorType(shape=[1])),
        f"{_NODE}.attrs[1].value.dtype",
    ),
    edited(
        "type_without_dtype",
        lambda m: m.functions[0].params[0].type.ClearField("dtype"),
        "functions[0].params[0].type.dtype",
    ),
    edited(
        "parameter_without_type",
        lambda m: m.functions[0].params[0].ClearField("type"),
        "functions[0].params[0].type.dtype",
    ),
    edited(
        "constant_without_value",
        lambda m: constant(m).ClearField("value"),
        "functions[0].constants[0].value.dtype",
    ),
]

_ATTRIBUTES = [
    edited("attributes_not_sorted", add_attr("a", i=1), f"{_NODE}.attrs[1].name"),
    edited("attribute_twice", add_attr("exponent", i=1), f"{_NODE}.attrs[1].name"),
    edited(
        "attribute_without_name",
        lambda m: setattr(attr(m), "name", ""),
        f"{_NODE}.attrs[0].name",
    ),
    edited("attribute_float_for_int", lambda m: setattr(attr(m).value, "f", 3.0), _VALUE),
    edited("attribute_bool_for_int", lambda m: setattr(attr(m).value, "b", True), _VALUE),
    _no_floats_for_no_ints(),
]

_TENSORS = [
    _shape("dim_negative", 2**64 - 1),
    _shape("dim_of_2_to_the_63", 2**63),
    _shape("dim_of_2_to_the_31", 2**31),
    _shape("shape_of_2_to_the_31_elements", 2**16, 2**15),
    _shape("shape_of_2_to_the_64_elements", 2**31 - 1, 2**31 - 1, 4),
    _shape("empty_shape_with_vast_strides", 0, 2**31 - 1, 2**31 - 1),
    _shape("shape_of_33_axes", *[1] * 33),
    edited(
        "constant_of_a_byte_too_many",
        lambda m: setattr(constant(m).value, "data", bytes(25)),
        _DATA,
    ),
    edited(
        "constant_of_a_byte_too_few",
        lambda m: setattr(constant(m).value, "data", bytes(23)),
        _DATA,
    ),
    edited(
        "truth_value_2",
        lambda m: constant(m).MergeFromString(b"\x12\x08\x08\x01\x12\x01\x02\x1a\x01\x02"),
        _DATA,
    ),
]

BAD_FORM = [*_BYTES, *_FUTURE, *_UNSET, *_ATTRIBUTES, *_TENSORS]
