"""Writes programs to bytes. It uses the form of a program and none of the language's rules."""

from __future__ import annotations

from gradwire.errors import InvalidInputError, InvalidProgramError
from gradwire.ir.attrs import encode_attr, kind_in_table
from gradwire.ir.program import Program
from gradwire.tensors import encode_tensor, encode_type
from gradwire.v1 import function_pb2 as pb


def encode_program(program: Program) -> bytes:
    """Writes a program. Equal programs give equal bytes.

    Values are never converted: one that isn't of the table's kind is written
    as it is, and the reader refuses it.

    Raises:
        InvalidProgramError: a value can't be written on the wire.
    """
    message = pb.Program(opset=program.opset, entry=program.entry, mapped=program.mapped)
    for index, function in enumerate(program.functions):
        where = f"functions[{index}]"
        target = message.functions.add(name=function.name, results=function.results)
        for param in function.params:
            target.params.add(id=param.id, type=encode_type(param.type))
        for position, constant in enumerate(function.constants):
            try:
                value = encode_tensor(constant.value)
            except InvalidInputError as error:
                raise InvalidProgramError(
                    error.message,
                    field=f"{where}.constants[{position}].value",
                    function=index,
                ) from None
            target.constants.add(id=constant.id, value=value)
        if function.custom_jvp is not None:
            target.custom_jvp.CopyFrom(pb.CustomJvp(rule=function.custom_jvp))
        if function.custom_vjp is not None:
            forward, backward = function.custom_vjp
            target.custom_vjp.CopyFrom(pb.CustomVjp(forward=forward, backward=backward))
        for position, node in enumerate(function.nodes):
            written = target.nodes.add(
                op=node.op, inputs=node.inputs, outputs=node.outputs, functions=node.functions
            )
            for name in sorted(node.attrs):
                attr = written.attrs.add(name=name)
                try:
                    encode_attr(attr.value, node.attrs[name], kind_in_table(node.op, name))
                except (KeyError, ValueError) as error:
                    path = f"{where}.nodes[{position}].attrs"
                    raise InvalidProgramError(
                        f"`{path}` must have a value for `{name}` that fits the wire; "
                        f"got {node.attrs[name]!r}: {error}",
                        field=path,
                        function=index,
                        node=position,
                    ) from None
    return message.SerializeToString(deterministic=True)
