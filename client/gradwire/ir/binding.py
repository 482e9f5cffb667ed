"""Checks a node's attributes against the table's entry of its op."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradwire.errors import InvalidProgramError
from gradwire.opset.core import REQUIRED, Kind, OpDef
from gradwire.tensors import TensorType


def bind_attrs(op: OpDef, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the attributes of a node with defaults filled in.

    Raises:
        InvalidProgramError: an attribute is unknown, missing, or of another kind.
    """
    for name in attrs:
        if name not in op.attrs:
            raise InvalidProgramError(
                f"`attrs` of {op.name} must be among {sorted(op.attrs) or 'none'}; "
                f"got `{name[:80]}`"
            )
    bound: dict[str, Any] = {}
    for name, spec in op.attrs.items():
        value = attrs.get(name, spec.default)
        if value is REQUIRED:
            raise InvalidProgramError(
                f"`attrs` of {op.name} must hold `{name}`; got {sorted(attrs) or 'none'}"
            )
        if name in attrs and not _is_kind(value, spec.kind):
            raise InvalidProgramError(
                f"`{name}` of {op.name} must be of kind `{spec.kind}`; got {value!r:.80}"
            )
        if spec.choices and value not in spec.choices:
            raise InvalidProgramError(
                f"`{name}` of {op.name} must be one of {', '.join(spec.choices)}; got {value!r:.80}"
            )
        bound[name] = value
    return bound


_PYTHON_TYPES: dict[Kind, type] = {
    Kind.INT: int,
    Kind.FLOAT: float,
    Kind.COMPLEX: complex,
    Kind.BOOL: bool,
    Kind.WORD: str,
    Kind.TYPE: TensorType,
}
_MEMBER_TYPES: dict[Kind, type] = {Kind.INTS: int, Kind.FLOATS: float, Kind.WORDS: str}


def _is_kind(value: Any, kind: Kind) -> bool:
    if kind in _PYTHON_TYPES:
        return type(value) is _PYTHON_TYPES[kind]
    if kind in _MEMBER_TYPES:
        return type(value) is tuple and all(type(v) is _MEMBER_TYPES[kind] for v in value)
    return True  # dtypes and subscripts are made by the decoder alone
