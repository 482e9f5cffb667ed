"""Programs in memory: building them, their types and their bytes. Shared."""

from gradwire.ir.encoding import encode_program
from gradwire.ir.infer import FunctionInfo, TypedProgram, infer_types
from gradwire.ir.program import Constant, Function, Node, Param, Program

__all__ = [
    "Constant",
    "Function",
    "FunctionInfo",
    "Node",
    "Param",
    "Program",
    "TypedProgram",
    "encode_program",
    "infer_types",
]
