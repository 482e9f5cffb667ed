"""Entries of ops on one matrix: types, shapes and batch axes. Needs NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradwire.opset.core import (
    MIXED,
    AttrSpec,
    Axes,
    BatchRule,
    Call,
    Derivatives,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.rules import check_dtype, checked, complex_of, real_part
from gradwire.opset.shape import require_matrices
from gradwire.tensors import Dtype, TensorType, is_complex

RTOL = AttrSpec(
    Kind.FLOAT,
    "singular values up to rtol times the largest are zero; negative: epsilon times max(m, n)",
    -1.0,
)


@dataclass(frozen=True, slots=True)
class Matrix:
    """The operand (..., m, n) of an op, and the op's attributes."""

    m: int
    n: int
    dtype: Dtype
    attrs: Mapping[str, Any]

    @property
    def k(self) -> int:
        """The number of singular values."""
        return min(self.m, self.n)

    @property
    def real(self) -> Dtype:
        """The dtype of a magnitude."""
        return real_part(self.dtype)

    @property
    def complex(self) -> Dtype:
        """The dtype of an eigenvalue."""
        return self.dtype if is_complex(self.dtype) else complex_of(self.dtype)

    @property
    def diagonal(self) -> int:
        """The length of the diagonal at ``offset``."""
        offset: int = self.attrs["offset"]
        return max(0, min(self.m + min(offset, 0), self.n - max(offset, 0)))


Output = Callable[[Matrix], tuple[Dtype, tuple[int, ...]]]
"""Gives the dtype of an output and its shape behind the batch axes."""


def smaller_side(call: Call) -> int:
    """Returns the rows of the first operand's matrices, or their columns if those are fewer."""
    return min(call.inputs[0].shape[-2:])


def batch_in_front(core: int, num_outputs: int = 1) -> BatchRule:
    """Makes the batch rule of an op on the last ``core`` axes of one operand."""

    def batch(call: Call, axes: Axes) -> Axes:
        (axis,) = axes
        front = axis is not None and axis < call.inputs[0].ndim - core
        return [axis if front else MIXED] * num_outputs

    return batch


def matrix_op(
    name: str,
    doc: str,
    *outputs: Output,
    square: bool = False,
    wanted: str = "inexact32",
    derivatives: Derivatives = Derivatives.ANY,
    poles: bool = False,
    advice: str = "",
    attrs: Mapping[str, AttrSpec] | None = None,
    own_rule: bool | Callable[[Call], bool] = False,
    matrix_rows: Callable[[Call], int] | None = smaller_side,
    view: bool = False,
) -> OpDef:
    """Makes the entry of an op on one operand of shape (..., m, n).

    Args:
        name: Its name.
        doc: Its line in the reference.
        outputs: The dtype and the shape behind the batch axes of each output.
        square: Whether m and n must be equal.
        wanted: The class of dtypes that it works in.
        derivatives: What differentiation makes of it.
        poles: Whether finite matrices can give results that are not finite.
        advice: What to use instead where they do.
        attrs: Its attributes.
        own_rule: As in ``OpDef``.
        matrix_rows: As in ``OpDef``.
        view: As in ``OpDef``.
    """

    def infer(call: Call) -> Sequence[TensorType]:
        (x,) = call.inputs
        check_dtype(x.dtype, wanted, "`inputs[0]`")
        require_matrices(x)
        matrix = Matrix(x.shape[-2], x.shape[-1], x.dtype, call.attrs)
        require(
            matrix.m == matrix.n or not square,
            lambda: f"`inputs[0]` must be square in its last two axes; got {x}",
        )
        cores = [output(matrix) for output in outputs]
        return [checked(dtype, (*x.shape[:-2], *core)) for dtype, core in cores]

    return OpDef(
        name,
        doc,
        infer,
        attrs=attrs or {},
        derivatives=derivatives,
        batch=batch_in_front(2, len(outputs)),
        own_rule=own_rule,
        may_be_non_finite=poles,
        advice=advice,
        matrix_rows=matrix_rows,
        operands="x",
        dtypes=wanted,
        view=view,
    )


def same(x: Matrix) -> tuple[Dtype, tuple[int, ...]]:
    """The operand's dtype and shape."""
    return x.dtype, (x.m, x.n)


def scalar(x: Matrix) -> tuple[Dtype, tuple[int, ...]]:
    """One number for each matrix."""
    return x.dtype, ()


def eigenvalues(x: Matrix) -> tuple[Dtype, tuple[int, ...]]:
    """Complex, one for each row."""
    return x.complex, (x.n,)


def real_eigenvalues(x: Matrix) -> tuple[Dtype, tuple[int, ...]]:
    """Real, one for each row."""
    return x.real, (x.n,)


def singular_values(x: Matrix) -> tuple[Dtype, tuple[int, ...]]:
    """Real, one for each row or column, whichever are fewer."""
    return x.real, (x.k,)


def tall(x: Matrix) -> tuple[Dtype, tuple[int, ...]]:
    """The left factor of a reduced factorisation."""
    return x.dtype, (x.m, x.k)


def wide(x: Matrix) -> tuple[Dtype, tuple[int, ...]]:
    """The right factor of a reduced factorisation."""
    return x.dtype, (x.k, x.n)
