"""Programs in memory: building, checking, their bytes and their identity. Shared."""

from gradwire.ir.canonical import canonical_bytes
from gradwire.ir.codec import decode_program, encode_program
from gradwire.ir.infer import FunctionInfo, TypedProgram, infer_program
from gradwire.ir.limits import ProgramLimits
from gradwire.ir.program import Constant, Function, Node, Param, Program
from gradwire.ir.strict import reject_unknown_fields

__all__ = [
    "Constant",
    "Function",
    "FunctionInfo",
    "Node",
    "Param",
    "Program",
    "ProgramLimits",
    "TypedProgram",
    "canonical_bytes",
    "decode_program",
    "encode_program",
    "infer_program",
    "reject_unknown_fields",
]
