"""The linear-algebra family: factorisations and functions of one matrix.

All work on the last two axes; axes in front are batch axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradwire.opset.core import (
    ALL_AXES,
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
from gradwire.opset.rules import (
    attr_axes,
    check_dtype,
    checked,
    complex_of,
    real_part,
    reduced_shape,
    reduction_batch,
)
from gradwire.opset.shape import require_matrices
from gradwire.tensors import Dtype, TensorType, is_complex


@dataclass(frozen=True, slots=True)
class _Matrix:
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


_Output = Callable[[_Matrix], tuple[Dtype, tuple[int, ...]]]
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


def _op(
    name: str,
    doc: str,
    *outputs: _Output,
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
    def infer(call: Call) -> Sequence[TensorType]:
        (x,) = call.inputs
        check_dtype(x.dtype, wanted, "`inputs[0]`")
        require_matrices(x)
        matrix = _Matrix(x.shape[-2], x.shape[-1], x.dtype, call.attrs)
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


def _same(x: _Matrix) -> tuple[Dtype, tuple[int, ...]]:
    return x.dtype, (x.m, x.n)


def _scalar(x: _Matrix) -> tuple[Dtype, tuple[int, ...]]:
    return x.dtype, ()


def _eigenvalues(x: _Matrix) -> tuple[Dtype, tuple[int, ...]]:
    return x.complex, (x.n,)


def _real_eigenvalues(x: _Matrix) -> tuple[Dtype, tuple[int, ...]]:
    return x.real, (x.n,)


def _singular_values(x: _Matrix) -> tuple[Dtype, tuple[int, ...]]:
    return x.real, (x.k,)


def _tall(x: _Matrix) -> tuple[Dtype, tuple[int, ...]]:
    return x.dtype, (x.m, x.k)


def _wide(x: _Matrix) -> tuple[Dtype, tuple[int, ...]]:
    return x.dtype, (x.k, x.n)


def _norm(x: _Matrix) -> tuple[Dtype, tuple[int, ...]]:
    require(
        (x.m and x.n) or x.attrs["ord"] in ("fro", "nuc"),
        lambda: f"`ord` must be fro or nuc for empty matrices; got {x.attrs['ord']}",
    )
    return x.real, (1, 1) if x.attrs["keepdims"] else ()


def _infer_vector_norm(call: Call) -> Sequence[TensorType]:
    (x,), axes, order = call.inputs, attr_axes(call), call.attrs["ord"]
    check_dtype(x.dtype, "inexact", "`inputs[0]`")
    require(not math.isnan(order), lambda: "`ord` must not be NaN")
    require(
        order >= 0 or all(x.shape[axis] for axis in axes),
        lambda: f"`axis` must name axes that are not empty for `ord` {order}; got {axes} of {x}",
    )
    return [TensorType(real_part(x.dtype), reduced_shape(x.shape, axes, call.attrs["keepdims"]))]


_OFFSET = {"offset": AttrSpec(Kind.INT, "0 the main diagonal, positive above it", 0)}
_LOWER = {"lower": AttrSpec(Kind.BOOL, "read the lower triangle, not the upper", True)}
_KEEPDIMS = AttrSpec(Kind.BOOL, "keep the axes, with length 1", False)
_WITHOUT_SPECTRUM = (
    "where values of a spectrum repeat, linalg.sqrtm, logm, expm and slogdet have the "
    "derivatives that a way through eigenvectors hasn't"
)
RTOL = AttrSpec(
    Kind.FLOAT,
    "singular values up to rtol times the largest are zero; negative: epsilon times max(m, n)",
    -1.0,
)

OPS = (
    _op(
        "linalg.cholesky",
        "The triangular L with L Lᴴ = x, reading the lower triangle of x and the real part of its "
        "diagonal; NaN unless that is positive definite.",
        _same,
        square=True,
        poles=True,
        attrs={"upper": AttrSpec(Kind.BOOL, "give Lᴴ, reading the upper triangle", False)},
    ),
    _op(
        "linalg.det",
        "The determinant, with all derivatives where the rank of x is n - 4 or more, and four "
        "where it is less; NaN beyond.",
        _scalar,
        square=True,
        poles=True,
        own_rule=lambda call: call.inputs[0].shape[-1] > 4,
    ),
    _op(
        "linalg.diagonal",
        "A diagonal of each matrix.",
        lambda x: (x.dtype, (x.diagonal,)),
        wanted="any",
        attrs=_OFFSET,
        matrix_rows=None,
        view=True,
    ),
    _op(
        "linalg.eig",
        "Eigenvalues in no particular order, and eigenvectors as columns of length 1.",
        _eigenvalues,
        lambda x: (x.complex, (x.n, x.n)),
        square=True,
        derivatives=Derivatives.NONE,
    ),
    _op(
        "linalg.eigh",
        "Eigenvalues, rising, of the Hermitian matrix of which x holds one triangle and the real "
        "diagonal, and eigenvectors as columns of length 1, whose derivatives are not finite "
        "where eigenvalues repeat up to rounding.",
        _real_eigenvalues,
        _same,
        square=True,
        poles=True,
        own_rule=True,
        advice=_WITHOUT_SPECTRUM,
        attrs=_LOWER,
    ),
    _op(
        "linalg.eigvals",
        "Eigenvalues in no particular order; their derivatives are not finite where rounding "
        "hides whether there is a basis of eigenvectors.",
        _eigenvalues,
        square=True,
        derivatives=Derivatives.FIRST,
        poles=True,
        advice=_WITHOUT_SPECTRUM,
    ),
    _op(
        "linalg.eigvalsh",
        "Eigenvalues, rising, of the Hermitian matrix of which x holds one triangle and the real "
        "diagonal. Where they repeat, each has the first derivative of some basis, and only "
        "sums over them have second ones.",
        _real_eigenvalues,
        square=True,
        poles=True,
        own_rule=True,
        advice=_WITHOUT_SPECTRUM,
        attrs=_LOWER,
    ),
    _op(
        "linalg.expm",
        "The matrix exponential; NaN from a 1-norm of about 8e5 on.",
        _same,
        square=True,
        poles=True,
    ),
    _op("linalg.inv", "The inverse.", _same, square=True, poles=True),
    _op(
        "linalg.lu",
        "P, L, U with x = P L U: a permutation matrix, L with a unit diagonal, U.",
        lambda x: (x.real, (x.m, x.m)),
        _tall,
        _wide,
        poles=True,
    ),
    _op(
        "linalg.matrix_norm",
        "A norm of each matrix: fro and nuc as in NumPy, 1 and inf the largest sum of a column "
        "and of a row, 2 the largest singular value; with a minus sign the smallest.",
        _norm,
        poles=True,
        own_rule=lambda call: call.attrs["ord"] in ("nuc", "2", "-2"),
        attrs={
            "ord": AttrSpec(
                Kind.WORD,
                "which norm",
                "fro",
                ("fro", "nuc", "1", "-1", "2", "-2", "inf", "-inf"),
            ),
            "keepdims": _KEEPDIMS,
        },
        matrix_rows=lambda call: (
            smaller_side(call) if call.attrs["ord"] in ("nuc", "2", "-2") else 0
        ),
    ),
    _op(
        "linalg.matrix_power",
        "x to an integer power; a negative one is that of the inverse.",
        _same,
        square=True,
        poles=True,
        attrs={"n": AttrSpec(Kind.INT, "the power")},
        matrix_rows=lambda call: smaller_side(call) if call.attrs["n"] < 0 else 0,
    ),
    _op(
        "linalg.pinv",
        "The pseudoinverse of what the cut-off leaves of x. Derivatives hold while no singular "
        "value crosses the cut-off, and are not finite where one next to it is cut.",
        lambda x: (x.dtype, (x.n, x.m)),
        poles=True,
        own_rule=True,
        attrs={"rtol": RTOL},
    ),
    _op(
        "linalg.qr",
        "Q, R with x = Q R, orthonormal columns in Q (..., m, k), R (..., k, n), k = min(m, n). "
        "Derivatives are not finite where the first k columns depend on each other.",
        _tall,
        _wide,
        poles=True,
    ),
    _op(
        "linalg.slogdet",
        "Sign (complex: phase) of the determinant, and the logarithm of its magnitude.",
        _scalar,
        lambda x: (x.real, ()),
        square=True,
        poles=True,
    ),
    _op(
        "linalg.svd",
        "U (..., m, k), singular values falling, Vᴴ (..., k, n), k = min(m, n). Derivatives of "
        "U and Vᴴ are not finite where singular values repeat up to rounding, or those of a "
        "matrix that isn't square are 0.",
        _tall,
        _singular_values,
        _wide,
        poles=True,
        own_rule=True,
        advice=_WITHOUT_SPECTRUM,
    ),
    _op(
        "linalg.svdvals",
        "Singular values, falling. Where they repeat or are 0, each has the first derivative of "
        "some pair of bases, and only sums over them have second ones.",
        _singular_values,
        poles=True,
        own_rule=True,
        advice=_WITHOUT_SPECTRUM,
    ),
    _op(
        "linalg.trace",
        "The sum of a diagonal.",
        _scalar,
        wanted="numeric",
        attrs=_OFFSET,
        matrix_rows=None,
    ),
    OpDef(
        "linalg.vector_norm",
        "The ord-norm over axes: (Σ|x|^ord)^(1/ord). At 0 the derivative is 0, further ones NaN.",
        _infer_vector_norm,
        may_be_non_finite=True,
        attrs={
            "axis": AttrSpec(Kind.INTS, "the axes; negative counts from the end", omitted=ALL_AXES),
            "ord": AttrSpec(
                Kind.FLOAT, "inf: the largest |x|; -inf: the smallest; 0: how many are not 0", 2.0
            ),
            "keepdims": _KEEPDIMS,
        },
        batch=reduction_batch,
        operands="x",
        dtypes="inexact",
    ),
)
