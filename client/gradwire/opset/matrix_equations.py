"""The linear-algebra family: linear matrix equations, the square root and logarithm of a matrix.

Names and signs are SciPy's. All work on the last two axes; axes in front are
batch axes and broadcast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradwire.opset.core import BatchRule, Call, InferRule, OpDef, fail
from gradwire.opset.labels import Label, Labelled, labelled_batch, leading
from gradwire.opset.matrices import batch_in_front
from gradwire.opset.rules import broadcast_shapes, check_dtype, checked, same_dtype
from gradwire.opset.shape import require_matrices
from gradwire.tensors import TensorType


def _check_square(call: Call, position: int) -> int:
    """Returns the number of rows of a square operand."""
    x = call.inputs[position]
    require_matrices(x)
    if x.shape[-2] != x.shape[-1]:
        raise fail(f"`inputs[{position}]` must be square in its last two axes; got {x}")
    return x.shape[-1]


def _infer_equation(call: Call) -> Sequence[TensorType]:
    """The operands are one or two square matrices and the right-hand side."""
    dtype = same_dtype(call)
    check_dtype(dtype, "inexact32", "`inputs`")
    *sides, q = call.inputs
    lengths = [_check_square(call, position) for position in range(len(sides))]
    rows, columns = lengths[0], lengths[-1]
    if q.shape[-2:] != (rows, columns):
        raise fail(f"`inputs[{len(sides)}]` must be (..., {rows}, {columns}); got {q}")
    lead = broadcast_shapes([operand.shape[:-2] for operand in call.inputs])
    return [checked(dtype, (*lead, rows, columns))]


def _infer_function(call: Call) -> Sequence[TensorType]:
    (x,) = call.inputs
    check_dtype(x.dtype, "inexact32", "`inputs[0]`")
    _check_square(call, 0)
    return [x]


def _equation_labels(call: Call) -> tuple[Labelled, Labelled]:
    """Every element of the solution depends on both axes of every matrix."""

    def of(operand: Label, ndim: int) -> tuple[Label, ...]:
        return (*leading(ndim - 2), (operand, "row"), (operand, "column"))

    operands = tuple(of(position, x.ndim) for position, x in enumerate(call.inputs))
    return operands, (of("solution", max(x.ndim for x in call.inputs)),)


def _op(name: str, doc: str, operands: str, infer: InferRule, batch: BatchRule) -> OpDef:
    count = operands.count(",") + 1
    return OpDef(
        f"linalg.{name}",
        doc,
        infer,
        (count, count),
        batch=batch,
        may_be_non_finite=True,
        matrix_rows=lambda call: max(t.shape[-1] for t in call.inputs),
        operands=operands,
        dtypes="inexact32",
    )


def _equation(name: str, doc: str, operands: str) -> OpDef:
    return _op(name, doc, operands, _infer_equation, labelled_batch(_equation_labels))


def _function(name: str, doc: str) -> OpDef:
    op = _op(name, doc, "x", _infer_function, batch_in_front(2))
    return replace(op, own_rule=True)


OPS = (
    _function(
        "logm",
        "The principal logarithm: exp of it is x, its eigenvalues' imaginary parts are from -π "
        "to π. NaN for singular x, and for real x with a negative eigenvalue, whose logarithm is "
        "complex.",
    ),
    _equation(
        "solve_continuous_lyapunov",
        "Solves a x + x aᴴ = q. NaN where eigenvalues λ, μ of a have λ = -conj(μ) to working "
        "precision: x isn't unique.",
        "a, q",
    ),
    _equation(
        "solve_discrete_lyapunov",
        "Solves a x aᴴ - x + q = 0. NaN where eigenvalues λ, μ of a have λ conj(μ) = 1 to working "
        "precision: x isn't unique.",
        "a, q",
    ),
    _equation(
        "solve_sylvester",
        "Solves a x + x b = q. NaN where an eigenvalue of a is one of -b to working precision: x "
        "isn't unique.",
        "a, b, q",
    ),
    _function(
        "sqrtm",
        "The principal square root: its eigenvalues have no negative real part. NaN where there "
        "is none, and for real x with a negative eigenvalue, whose root is complex; derivatives "
        "at singular x are not finite.",
    ),
)
