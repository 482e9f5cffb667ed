"""`gw.ops`: every op of the table as a function, by its name on the wire.

    gw.ops.nn.softmax(x)
    gw.ops.linalg.expm(a)
    gw.ops.index_add(x, np.s_[0, 1:], y)

Operands are positional and are converted to their common dtype; attributes are
keywords. On traced arrays each is a node of the function being traced, on
others a call of the server. The reference of the opset says what each one does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from gradwire.errors import InvalidProgramError
from gradwire.evaluate import remote
from gradwire.numpy_api.registry import OP_FORMS, normal_axes, pinned, shape_of
from gradwire.numpy_api.ufuncs import truth
from gradwire.opset import FAMILIES
from gradwire.opset.core import ALL_AXES, REQUIRED, UNBOUNDED, Call, Kind, OpDef
from gradwire.tensors import Dtype, TensorType
from gradwire.trace.builder import active_builder
from gradwire.trace.traced import Traced
from gradwire.trace.values import apply_many, as_operand, as_traced, common_dtype, convert


def _attribute(kind: Kind, value: Any) -> Any:
    """Returns an attribute as the wire has it, from what one may write for it."""
    match kind:
        case Kind.INT:
            return operator.index(value)
        case Kind.FLOAT:
            return float(value)
        case Kind.BOOL:
            return bool(value)
        case Kind.INTS:
            return shape_of(value)
        case Kind.DTYPE:
            return pinned(value)
        case _:
            return value


def _attributes(op: OpDef, given: Mapping[str, Any], operands: Sequence[Any]) -> dict[str, Any]:
    if unknown := given.keys() - op.attrs.keys():
        raise TypeError(f"{op.name} has no attribute `{min(unknown)}`; got {_usage(op)}")
    attrs = {}
    for name, spec in op.attrs.items():
        all_axes = spec.omitted is ALL_AXES
        value = given.get(name, None if all_axes else spec.omitted)
        if value is not None:
            attrs[name] = _attribute(spec.kind, value)
        elif all_axes:
            attrs[name] = normal_axes(None, as_traced(operands[0]).ndim)
        elif spec.default is REQUIRED:
            raise TypeError(f"`{name}` must be given: {_usage(op)}")
    return attrs


def _operands(op: OpDef, given: Sequence[Any], attrs: Mapping[str, Any]) -> list[Traced]:
    """Returns operands in their common dtype; integers as floats where the op takes only floats."""
    operands = [as_operand(value) for value in given]
    if op.name == "where" and operands:
        operands[0] = truth(operands[0])
    own = op.own_dtype
    shared = [value for place, value in enumerate(operands) if place not in own]
    if not shared:
        return [as_traced(value) for value in operands]
    dtype = common_dtype(shared)
    types = [None if place in own else dtype for place in range(len(operands))]
    if dtype.kind in "biu":
        for wider in (dtype, *([np.dtype(np.int64)] if dtype.kind == "b" else []), pinned(float)):
            if _accepts(op, operands, own, wider, attrs):
                types = [None if kept is None else wider for kept in types]
                break
    return [
        as_traced(value) if wanted is None else convert(value, wanted)
        for value, wanted in zip(operands, types, strict=True)
    ]


def _accepts(
    op: OpDef, operands: Sequence[Any], own: Collection[int], dtype: Dtype, attrs: Mapping[str, Any]
) -> bool:
    """Says whether the op's rule takes the operands, those that share a dtype in this one."""
    types = []
    for place, value in enumerate(operands):
        shape = value.shape if isinstance(value, Traced) else np.shape(value)
        types.append(TensorType(as_traced(value).dtype if place in own else dtype, shape))
    defaults = {name: spec.default for name, spec in op.attrs.items()}
    try:
        op.infer(Call(tuple(types), {**defaults, **attrs}))
    except InvalidProgramError:
        return False
    return True


def _emit(op: OpDef, given: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    attrs = _attributes(op, attributes, given)
    results = apply_many(op.name, *_operands(op, given, attrs), **attrs)
    if len(results) == 1 and not op.many_outputs:
        return results[0]
    return tuple(results)


def _usage(op: OpDef) -> str:
    parts = [op.operands] if op.operands else []
    for name, spec in op.attrs.items():
        left_out = spec.default if spec.omitted is None else spec.omitted
        if left_out is ALL_AXES:
            left_out = None
        parts.append(name if left_out is REQUIRED else f"{name}={left_out!r}")
    return f"gw.ops.{op.name}({', '.join(parts)})"


def _spread(op: OpDef, operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """Takes one list for the operands of an op that joins any number."""
    many = op.arity[1] == UNBOUNDED and len(operands) == 1
    return tuple(operands[0]) if many and isinstance(operands[0], list | tuple) else operands


def _function(op: OpDef) -> Callable[..., Any]:
    """Makes the function for an op."""

    def function(*operands: Any, **attributes: Any) -> Any:
        operands = _spread(op, operands)
        least, greatest = op.arity
        if not least <= len(operands) <= greatest:
            raise TypeError(
                f"{op.name} must have {least}{'' if least == greatest else ' or more'} operands; "
                f"got {len(operands)}: {_usage(op)}. Attributes are keywords"
            )
        if active_builder() is not None:
            return _emit(op, operands, attributes)
        return _run(op.name, lambda *values: _emit(op, values, attributes), operands)

    function.__doc__ = f"{_usage(op)}\n\n{op.doc}"
    return function


def _friendly(op: OpDef, emit: Callable[..., Any]) -> Callable[..., Any]:
    """Makes the function for an op with a form of its own; only its first operand is traced."""

    def function(x: Any, /, *args: Any, **kwargs: Any) -> Any:
        if active_builder() is not None:
            return emit(x, *args, **kwargs)
        return _run(op.name, lambda value: emit(value, *args, **kwargs), (x,))

    function.__doc__ = f"{op.doc}\n\n{emit.__doc__ or ''}"
    return function


def _run(name: str, emit: Callable[..., Any], operands: Sequence[Any]) -> Any:
    """Runs one op on the server."""
    run = partial(emit)
    run.__name__ = name  # type: ignore[attr-defined]
    return remote(run)(*(as_operand(value) for value in operands))


def _namespaces() -> dict[str, Any]:
    """Returns the ops without a dot by name, and a namespace for each word before a dot."""
    found: dict[str, Any] = {}
    for family, ops in FAMILIES.items():
        for op in ops if family not in ("control", "operator") else ():
            friendly = OP_FORMS.get(op.name)
            function = _friendly(op, friendly) if friendly else _function(op)
            space, _, name = op.name.rpartition(".")
            function.__name__ = function.__qualname__ = name
            function.__module__ = f"{__name__}.{space}" if space else __name__
            if space:
                setattr(found.setdefault(space, SimpleNamespace()), name, function)
            else:
                found[name] = function
    return found


# Not names of the module: `max`, `any` and others would hide Python's own.
_FOUND = _namespaces()


def __getattr__(name: str) -> Any:
    if name not in _FOUND:
        raise AttributeError(f"the opset has no op {name!r}; the ops are listed in docs/opset.md")
    return _FOUND[name]


def __dir__() -> list[str]:
    return sorted(_FOUND)
