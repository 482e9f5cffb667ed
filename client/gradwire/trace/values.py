"""From Python values to values of the program, and NumPy's promotion between them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from gradwire.errors import InvalidInputError, PrecisionWarning, TraceError
from gradwire.opset import OPS
from gradwire.opset.core import Call
from gradwire.tensors import BFLOAT16, Array, Dtype, is_inexact, supported_dtype
from gradwire.trace.builder import (
    MAX_CONSTANT_BYTES,
    FunctionBuilder,
    Ref,
    active_builder,
)
from gradwire.trace.lines import caller_line
from gradwire.trace.traced import Traced

PythonScalar = bool | int | float | complex
_WEAK_DTYPES = {bool: np.bool_, int: np.int64, float: np.float64, complex: np.complex128}


def current_builder() -> FunctionBuilder:
    """Returns the function that is being traced.

    Raises:
        TraceError: none is.
    """
    builder = active_builder()
    if builder is None:
        raise TraceError("a traced value must not be used after its function has returned")
    return builder


def is_weak(value: Any) -> bool:
    """Says whether a value takes the dtype of the other operand (NEP 50)."""
    return type(value) in _WEAK_DTYPES or (isinstance(value, Traced) and value.weak)


def is_array_like(value: Any) -> bool:
    """Says whether a value can be a leaf of a traced function's arguments."""
    return isinstance(value, Traced | np.ndarray | np.generic | bool | int | float | complex)


def as_operand(value: Any) -> Any:
    """Returns a Traced, an array, or a scalar, from anything NumPy would take.

    Raises:
        TraceError: a list that holds traced values, or no array at all.
    """
    if is_array_like(value):
        return value
    try:
        array = np.asarray(value)
    except TraceError:
        raise TraceError(
            "a list with traced values in it is no array; write np.stack([...]) "
            f"or np.concatenate([...]) (at {caller_line()})"
        ) from None
    if array.dtype.kind == "O":
        raise TraceError(f"expected an array; got {type(value).__name__} (at {caller_line()})")
    return array


def dtype_of(value: Any) -> Dtype:
    """Returns the dtype of an operand in this program; of a weak scalar, its default."""
    if isinstance(value, Traced):
        return value.dtype
    if type(value) in _WEAK_DTYPES:
        return current_builder().trace.pin(np.dtype(_WEAK_DTYPES[type(value)]))
    return current_builder().trace.pin(_supported(np.asarray(value).dtype))


def as_traced(value: Any) -> Traced:
    """Makes any operand a value of the program, with its own dtype."""
    value = as_operand(value)
    if isinstance(value, Traced):
        return value
    weak = type(value) in _WEAK_DTYPES
    return Traced(_as_ref(value, dtype_of(value)), weak=weak)


def convert(value: Any, dtype: Dtype) -> Traced:
    """Makes any operand a value of the program with the given dtype."""
    value = as_operand(value)
    if not isinstance(value, Traced) and np.ndim(value) == 0:
        if type(value) is int and dtype.kind in "iu":
            # Raises OverflowError, as NumPy does, where astype would wrap around.
            return Traced(_as_ref(dtype.type(value), dtype))
        return Traced(_as_ref(np.asarray(value).astype(dtype)[()], dtype))
    traced = as_traced(value)
    if traced.dtype == dtype:
        return traced
    return apply("astype", traced, dtype=dtype)


def apply(op: str, *operands: Any, **attrs: Any) -> Traced:
    """Adds a node with one output. Operands keep their dtypes."""
    (result,) = apply_many(op, *operands, **attrs)
    return result


def apply_many(op: str, *operands: Any, **attrs: Any) -> list[Traced]:
    """Adds a node and returns all its outputs. Operands keep their dtypes."""
    traced = [as_traced(operand) for operand in operands]
    refs = current_builder().emit(op, [x.ref for x in traced], attrs)
    results = [Traced(ref) for ref in refs]
    entry = OPS[op]
    if entry.view and entry.is_view(Call(tuple(x.ref.type for x in traced), attrs)):
        for value in (traced[0], *results):
            value.share()
    return results


def promote(values: Sequence[Any]) -> list[Traced]:
    """Converts operands to their common dtype, as NumPy's ``result_type``."""
    operands = [as_operand(value) for value in values]
    dtype = common_dtype(operands)
    weak = all(is_weak(value) for value in operands)
    converted = [convert(value, dtype) for value in operands]
    return [Traced(x.ref, weak=True) for x in converted] if weak else converted


def common_dtype(operands: Sequence[Any]) -> Dtype:
    """Returns the common dtype of operands; warns where float32 is lifted to float64."""
    (dtype,) = resolve(lambda *dtypes: (_result_type(dtypes),), operands)
    return dtype


def resolve(rule: Any, operands: Sequence[Any]) -> tuple[Dtype, ...]:
    """Applies a dtype rule to operands, weak scalars being Python types in it.

    Args:
        rule: Takes one dtype or Python type for each operand and returns dtypes.
        operands: What ``as_operand`` returns.
    """
    pin = current_builder().trace.pin
    dtypes = [_rule_dtype(value) for value in operands]
    strong = [d for d in dtypes if isinstance(d, np.dtype)]
    if strong and all(d == BFLOAT16 for d in strong):
        # NumPy has no rule for a Python float beside an extension dtype.
        dtypes = [BFLOAT16 if d is float or d is int else d for d in dtypes]
    resolved = tuple(pin(_supported(d)) for d in rule(*dtypes))
    _warn_if_lifted(operands, resolved)
    return resolved


def _rule_dtype(value: Any) -> Any:
    if isinstance(value, Traced) and value.weak:
        return {"b": np.dtype(bool), "i": int, "f": float, "c": complex}[value.dtype.kind]
    if type(value) is bool:
        return np.dtype(bool)
    if type(value) in _WEAK_DTYPES:
        return type(value)
    return dtype_of(value)


def _result_type(dtypes: Sequence[Any]) -> Dtype:
    # Python types stand for weak scalars; any value of the type will do.
    examples = [d if isinstance(d, np.dtype) else d(1) for d in dtypes]
    if not any(isinstance(d, np.dtype) for d in dtypes):
        return np.dtype(np.result_type(*(np.dtype(d) for d in dtypes)))
    return np.dtype(np.result_type(*examples))


def _warn_if_lifted(operands: Sequence[Any], resolved: Sequence[Dtype]) -> None:
    if not any(d in (np.float64, np.complex128) for d in resolved):
        return
    scalars = [v for v in operands if isinstance(v, np.floating | np.complexfloating)]
    others = [dtype_of(v) for v in operands if not is_weak(v) and not isinstance(v, np.generic)]
    floats = [d for d in others if is_inexact(d)]
    if scalars and floats and all(d in (np.float32, np.complex64) for d in floats):
        warnings.warn(
            f"a NumPy scalar of dtype {scalars[0].dtype} lifts float32 to float64 at "
            f"{caller_line()}; write float(...) around it, or pass float_dtype='float32'",
            PrecisionWarning,
            stacklevel=2,
        )


def _supported(dtype: Dtype) -> Dtype:
    try:
        return supported_dtype(dtype)
    except InvalidInputError as error:
        raise TraceError(f"{error.message} (at {caller_line()})") from None


def _as_ref(value: Any, dtype: Dtype) -> Ref:
    builder = current_builder()
    if isinstance(value, np.ndarray):
        array = cast(Array, value)
        is_large = array.nbytes > MAX_CONSTANT_BYTES
        if not builder.is_closed and (is_inexact(array.dtype) or is_large):
            return builder.trace.array_input(array)
        return builder.add_constant(array.astype(dtype))
    scalar = np.asarray(value, dtype=dtype)
    if is_inexact(dtype) and not builder.is_closed:
        return builder.trace.scalar(builder, scalar)
    return builder.add_constant(scalar)
