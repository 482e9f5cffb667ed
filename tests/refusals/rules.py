"""Programs of good form that break a rule of the language."""

from __future__ import annotations

from dataclasses import replace

from gradwire.errors import Reason, UnsupportedError
from programs import SCALAR, chain, function, node, program, unary, vector
from refusals.core import CUBE, add_attr, constant, edited, written

_SINE = chain("sin", 1, SCALAR)
_CALL = "functions[1].nodes[0]"
_LAST = "functions[1].nodes[1]"


_IDS = [
    written(
        "id_never_defined",
        program(function([SCALAR], node("sin", [9], 1), results=[1])),
        "functions[0].nodes[0].inputs[0]",
    ),
    written(
        "id_of_a_later_node",
        program(function([SCALAR], node("sin", [2], 1), node("sin", [0], 2), results=[1])),
        "functions[0].nodes[0].inputs[0]",
    ),
    written(
        "id_of_its_own",
        program(function([SCALAR], node("add", [0, 1], 1), results=[1])),
        "functions[0].nodes[0].inputs[1]",
    ),
    written(
        "id_of_another_function",
        program(chain("sin", 3, SCALAR), function([SCALAR], node("sin", [3], 1), results=[1])),
        "functions[1].nodes[0].inputs[0]",
    ),
    written(
        "result_never_defined",
        program(function([SCALAR], results=[0, 7])),
        "functions[0].results[1]",
    ),
    written(
        "id_of_a_parameter_again",
        program(function([SCALAR], node("sin", [0], 0), results=[0])),
        "functions[0].nodes[0].outputs[0]",
    ),
    written(
        "id_of_a_node_again",
        program(function([SCALAR], node("sin", [0], 1), node("cos", [0], 1), results=[1])),
        "functions[0].nodes[1].outputs[0]",
    ),
    written(
        "id_twice_in_one_node",
        program(_SINE, function([SCALAR], node("grad", [0], 1, 1, functions=[0]), results=[1])),
        "functions[1].nodes[0].outputs[1]",
    ),
    edited(
        "two_parameters_of_one_id",
        lambda m: m.functions[0].params.append(m.functions[0].params[0]),
        "functions[0].params[1].id",
    ),
    edited(
        "constant_of_a_parameters_id",
        lambda m: setattr(constant(m), "id", 0),
        "functions[0].constants[0].id",
    ),
]

_FUNCTIONS = [
    edited(
        "function_that_uses_itself",
        lambda m: m.functions[1].nodes[0].functions.__setitem__(0, 1),
        f"{_CALL}.functions[0]",
    ),
    written(
        "functions_that_use_each_other",
        program(
            function([SCALAR], node("call", [0], 1, functions=[1]), results=[1]),
            function([SCALAR], node("call", [0], 1, functions=[0]), results=[1]),
        ),
        "functions[0].nodes[0].functions[0]",
    ),
    written(
        "function_that_stands_later",
        replace(
            program(function([SCALAR], node("call", [0], 1, functions=[1]), results=[1]), _SINE),
            entry=0,
        ),
        "functions[0].nodes[0].functions[0]",
    ),
    edited(
        "function_that_is_not_there",
        lambda m: m.functions[1].nodes[0].functions.__setitem__(0, 2**32 - 1),
        f"{_CALL}.functions[0]",
    ),
    edited(
        "no_function",
        lambda m: m.functions[1].nodes[0].ClearField("functions"),
        f"{_CALL}.functions",
    ),
    edited(
        "function_for_an_op_without",
        lambda m: m.functions[1].nodes[1].functions.append(0),
        f"{_LAST}.functions",
    ),
    edited("entry_that_is_not_there", lambda m: setattr(m, "entry", 2), "entry"),
    edited("no_functions", lambda m: m.ClearField("functions"), "entry"),
    edited("too_few_mapped_flags", lambda m: m.ClearField("mapped"), "mapped"),
    edited("too_many_mapped_flags", lambda m: m.mapped.append(True), "mapped"),
    edited(
        "unknown_opset",
        lambda m: setattr(m, "opset", 2),
        "opset",
        Reason.ERROR_REASON_UNKNOWN_OPSET,
        UnsupportedError,
    ),
    edited(
        "unknown_op",
        lambda m: setattr(m.functions[1].nodes[1], "op", "sine"),
        f"{_LAST}.op",
        Reason.ERROR_REASON_UNKNOWN_OP,
        UnsupportedError,
    ),
    edited(
        "op_without_a_name",
        lambda m: m.functions[1].nodes[1].ClearField("op"),
        f"{_LAST}.op",
        Reason.ERROR_REASON_UNKNOWN_OP,
        UnsupportedError,
    ),
]

_ATTRIBUTES = [
    edited("attribute_unknown", add_attr("exponents", i=1), "functions[0].nodes[0]"),
    edited(
        "attribute_missing",
        lambda m: m.functions[0].nodes[0].ClearField("attrs"),
        "functions[0].nodes[0]",
    ),
    written(
        "attribute_word_not_offered",
        program(
            _SINE,
            function(
                [SCALAR],
                node("jacobian", [0], 1, 2, functions=[0], mode="sideways"),
                results=[2],
            ),
        ),
        _CALL,
    ),
]

_TYPES = [
    edited(
        "too_few_inputs",
        lambda m: m.functions[0].nodes[1].inputs.pop(),
        "functions[0].nodes[1].inputs",
    ),
    edited(
        "too_many_inputs", lambda m: m.functions[1].nodes[1].inputs.append(0), f"{_LAST}.inputs"
    ),
    edited(
        "too_many_outputs", lambda m: m.functions[1].nodes[1].outputs.append(9), f"{_LAST}.outputs"
    ),
    edited(
        "no_outputs", lambda m: m.functions[1].nodes[1].ClearField("outputs"), f"{_LAST}.outputs"
    ),
    written(
        "shapes_that_do_not_broadcast",
        program(function([vector(2), vector(3)], node("add", [0, 1], 2), results=[2])),
        "functions[0].nodes[0]",
    ),
    written(
        "dtypes_that_differ",
        program(
            function([vector(3), vector(3, dtype="float32")], node("add", [0, 1], 2), results=[2])
        ),
        "functions[0].nodes[0]",
    ),
    written(
        "dtype_that_the_op_refuses",
        unary("sin", type_=vector(3, dtype="bool")),
        "functions[0].nodes[0]",
    ),
    written(
        "argument_of_another_shape_than_the_parameter",
        program(CUBE, function([vector(4)], node("call", [0], 1, functions=[0]), results=[1])),
        _CALL,
    ),
    written(
        "broadcast_of_a_million_by_a_million",
        program(
            function([vector(10**6, 1), vector(1, 10**6)], node("add", [0, 1], 2), results=[2])
        ),
        "functions[0].nodes[0]",
    ),
    written(
        "jacobian_of_50000_by_50000",
        program(
            chain("sin", 1, vector(50_000)),
            function([vector(50_000)], node("jacobian", [0], 1, 2, functions=[0]), results=[2]),
        ),
        _CALL,
    ),
]

BAD_RULES = [*_IDS, *_FUNCTIONS, *_ATTRIBUTES, *_TYPES]
