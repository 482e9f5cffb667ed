"""The linear-algebra family: solutions of linear systems, and matrices made from parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gradwire.opset.core import UNBOUNDED, AttrSpec, Call, Kind, OpDef, fail, require
from gradwire.opset.labels import Label, Labelled, labelled_batch, leading
from gradwire.opset.matrices import RTOL, smaller_side
from gradwire.opset.rules import broadcast_shapes, check_dtype, checked, same_dtype
from gradwire.opset.shape import require_matrices
from gradwire.tensors import Dtype, TensorType


def _inexact32(call: Call) -> Dtype:
    dtype = same_dtype(call)
    check_dtype(dtype, "inexact32", "`inputs`")
    return dtype


def _solution(
    dtype: Dtype, lead: tuple[int, ...], m: int, n: int, b: TensorType
) -> list[TensorType]:
    """Returns the type of x in a x = b for a (..., m, n) and b (m,) or (..., m, k)."""
    rows = b.shape[-2] if b.ndim > 1 else b.shape[0] if b.ndim else None
    require(rows == m, lambda: f"the right-hand side must be ({m},) or (..., {m}, k); got {b}")
    shape = broadcast_shapes([lead, b.shape[:-2]])
    return [checked(dtype, (*shape, n, *b.shape[1:][-1:]))]


def _check_square(a: TensorType) -> None:
    require_matrices(a)
    require(
        a.shape[-2] == a.shape[-1],
        lambda: f"`inputs[0]` must be square in its last two axes; got {a}",
    )


def _infer_lstsq(call: Call) -> Sequence[TensorType]:
    a, b = call.inputs
    dtype = _inexact32(call)
    require_matrices(a)
    return _solution(dtype, a.shape[:-2], a.shape[-2], a.shape[-1], b)


def _infer_solve(call: Call) -> Sequence[TensorType]:
    _inexact32(call)
    _check_square(call.inputs[0])
    return _infer_lstsq(call)


def _infer_solve_triangular(call: Call) -> Sequence[TensorType]:
    trans = call.attrs["trans"]
    require(trans in (0, 1, 2), lambda: f"`trans` must be 0, 1 or 2; got {trans}")
    return _infer_solve(call)


def _infer_tridiagonal_solve(call: Call) -> Sequence[TensorType]:
    lower, d, upper, b = call.inputs
    dtype = _inexact32(call)
    if not d.ndim or not lower.shape == d.shape == upper.shape:
        raise fail(f"the diagonals must have one shape (..., n); got {lower}, {d}, {upper}")
    return _solution(dtype, d.shape[:-1], d.shape[-1], d.shape[-1], b)


def _right_hand_side(b: TensorType) -> tuple[tuple[Label, ...], tuple[Label, ...], int]:
    """Returns labels of b and of the solution behind its batch axes, and their number."""
    if b.ndim == 1:
        return ("row",), ("solved",), 0
    return (*leading(b.ndim - 2), "row", "column"), ("solved", "column"), b.ndim - 2


def _matrix_solve_labels(call: Call) -> tuple[Labelled, Labelled]:
    a, b = call.inputs
    right, solved, count = _right_hand_side(b)
    left = (*leading(a.ndim - 2), "row", "unknown")
    return (left, right), ((*leading(max(a.ndim - 2, count)), *solved),)


def _tridiagonal_labels(call: Call) -> tuple[Labelled, Labelled]:
    d, b = call.inputs[1], call.inputs[3]
    right, solved, count = _right_hand_side(b)
    diagonal = (*leading(d.ndim - 1), "row")
    lead = leading(max(d.ndim - 1, count))
    return (diagonal, diagonal, diagonal, right), ((*lead, *solved),)


def _toeplitz_labels(call: Call) -> tuple[Labelled, Labelled]:
    c, r = call.inputs
    lead = leading(max(c.ndim, r.ndim) - 1)
    operands = ((*leading(c.ndim - 1), "down"), (*leading(r.ndim - 1), "across"))
    return operands, ((*lead, "row", "column"),)


def _infer_toeplitz(call: Call) -> Sequence[TensorType]:
    dtype = same_dtype(call)
    check_dtype(dtype, "numeric", "`inputs`")
    c, r = call.inputs
    require(c.ndim and r.ndim, lambda: f"`inputs` must be vectors (..., n); got {c} and {r}")
    lead = broadcast_shapes([c.shape[:-1], r.shape[:-1]])
    return [checked(dtype, (*lead, c.shape[-1], r.shape[-1]))]


def _infer_block_diag(call: Call) -> Sequence[TensorType]:
    dtype = same_dtype(call)
    check_dtype(dtype, "numeric", "`inputs`")
    for position, x in enumerate(call.inputs):
        if x.ndim != 2:
            raise fail(f"`inputs[{position}]` must be a matrix; got {x}")
    rows, columns = (sum(x.shape[axis] for x in call.inputs) for axis in (0, 1))
    return [checked(dtype, (rows, columns))]


def _solver(
    name: str,
    doc: str,
    infer: Callable[[Call], Sequence[TensorType]],
    attrs: Mapping[str, AttrSpec],
    *,
    own_rule: bool = False,
) -> OpDef:
    return OpDef(
        name,
        doc,
        infer,
        (2, 2),
        attrs,
        batch=labelled_batch(_matrix_solve_labels),
        own_rule=own_rule,
        may_be_non_finite=True,
        matrix_rows=smaller_side,
        operands="a, b",
        dtypes="inexact32",
    )


OPS = (
    OpDef(
        "linalg.block_diag",
        "The matrix with the given ones along its diagonal, 0 elsewhere.",
        _infer_block_diag,
        (1, UNBOUNDED),
        operands="x...",
        dtypes="numeric",
    ),
    _solver(
        "linalg.cho_solve",
        "Solves L Lᴴ x = b for b (n,) or (..., n, k), reading one triangle of a.",
        _infer_solve,
        {"lower": AttrSpec(Kind.BOOL, "a is L; otherwise Lᴴ", True)},
    ),
    _solver(
        "linalg.lstsq",
        "The x of least norm among those with the least |a x - b|, for b (m,) or (..., m, k); "
        "of a what the cut-off leaves counts, as in linalg.pinv.",
        _infer_lstsq,
        {"rtol": RTOL},
        own_rule=True,
    ),
    _solver("linalg.solve", "Solves a x = b for b (n,) or (..., n, k).", _infer_solve, {}),
    _solver(
        "linalg.solve_triangular",
        "Solves a x = b for b (n,) or (..., n, k), reading one triangle of a.",
        _infer_solve_triangular,
        {
            "lower": AttrSpec(Kind.BOOL, "read the lower triangle, not the upper", False),
            "trans": AttrSpec(Kind.INT, "0 for a, 1 for its transpose, 2 for its adjoint", 0),
            "unit_diagonal": AttrSpec(Kind.BOOL, "take the diagonal to be 1", False),
        },
    ),
    OpDef(
        "linalg.toeplitz",
        "The matrix (..., m, n) with first column c and first row r, constant along diagonals; "
        "r[0] is not read.",
        _infer_toeplitz,
        (2, 2),
        batch=labelled_batch(_toeplitz_labels),
        operands="c, r",
        dtypes="numeric",
    ),
    OpDef(
        "linalg.tridiagonal_solve",
        "Solves for b (n,) or (..., n, k) the system with diagonal d (..., n), lower[i] left of "
        "d[i] and upper[i] right of it; lower[0] and upper[n-1] are not read.",
        _infer_tridiagonal_solve,
        (4, 4),
        batch=labelled_batch(_tridiagonal_labels),
        may_be_non_finite=True,
        operands="lower, d, upper, b",
        dtypes="inexact32",
    ),
)
