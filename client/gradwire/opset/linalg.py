"""The linear-algebra family: factorisations and functions of one matrix.

All work on the last two axes; axes in front are batch axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradwire.opset.core import (
    ALL_AXES,
    AttrSpec,
    Call,
    Derivatives,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.matrices import (
    RTOL,
    Matrix,
    eigenvalues,
    matrix_op,
    real_eigenvalues,
    same,
    scalar,
    singular_values,
    smaller_side,
    tall,
    wide,
)
from gradwire.opset.rules import attr_axes, check_dtype, real_part, reduced_shape, reduction_batch
from gradwire.tensors import Dtype, TensorType


def _norm(x: Matrix) -> tuple[Dtype, tuple[int, ...]]:
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

OPS = (
    matrix_op(
        "linalg.cholesky",
        "The triangular L with L Lᴴ = x, reading the lower triangle of x and the real part of its "
        "diagonal; NaN unless that is positive definite.",
        same,
        square=True,
        poles=True,
        attrs={"upper": AttrSpec(Kind.BOOL, "give Lᴴ, reading the upper triangle", False)},
    ),
    matrix_op(
        "linalg.det",
        "The determinant, with all derivatives where the rank of x is n - 4 or more, and four "
        "where it is less; NaN beyond.",
        scalar,
        square=True,
        poles=True,
        own_rule=lambda call: call.inputs[0].shape[-1] > 4,
    ),
    matrix_op(
        "linalg.diagonal",
        "A diagonal of each matrix.",
        lambda x: (x.dtype, (x.diagonal,)),
        wanted="any",
        attrs=_OFFSET,
        matrix_rows=None,
        view=True,
    ),
    matrix_op(
        "linalg.eig",
        "Eigenvalues in no particular order, and eigenvectors as columns of length 1.",
        eigenvalues,
        lambda x: (x.complex, (x.n, x.n)),
        square=True,
        derivatives=Derivatives.NONE,
    ),
    matrix_op(
        "linalg.eigh",
        "Eigenvalues, rising, of the Hermitian matrix of which x holds one triangle and the real "
        "diagonal, and eigenvectors as columns of length 1, whose derivatives are not finite "
        "where eigenvalues repeat up to rounding.",
        real_eigenvalues,
        same,
        square=True,
        poles=True,
        own_rule=True,
        advice=_WITHOUT_SPECTRUM,
        attrs=_LOWER,
    ),
    matrix_op(
        "linalg.eigvals",
        "Eigenvalues in no particular order; their derivatives are not finite where rounding "
        "hides whether there is a basis of eigenvectors.",
        eigenvalues,
        square=True,
        derivatives=Derivatives.FIRST,
        poles=True,
        advice=_WITHOUT_SPECTRUM,
    ),
    matrix_op(
        "linalg.eigvalsh",
        "Eigenvalues, rising, of the Hermitian matrix of which x holds one triangle and the real "
        "diagonal. Where they repeat, each has the first derivative of some basis, and only "
        "sums over them have second ones.",
        real_eigenvalues,
        square=True,
        poles=True,
        own_rule=True,
        advice=_WITHOUT_SPECTRUM,
        attrs=_LOWER,
    ),
    matrix_op(
        "linalg.expm",
        "The matrix exponential; NaN from a 1-norm of about 8e5 on.",
        same,
        square=True,
        poles=True,
    ),
    matrix_op("linalg.inv", "The inverse.", same, square=True, poles=True),
    matrix_op(
        "linalg.lu",
        "P, L, U with x = P L U: a permutation matrix, L with a unit diagonal, U.",
        lambda x: (x.real, (x.m, x.m)),
        tall,
        wide,
        poles=True,
    ),
    matrix_op(
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
    matrix_op(
        "linalg.matrix_power",
        "x to an integer power; a negative one is that of the inverse.",
        same,
        square=True,
        poles=True,
        attrs={"n": AttrSpec(Kind.INT, "the power")},
        matrix_rows=lambda call: smaller_side(call) if call.attrs["n"] < 0 else 0,
    ),
    matrix_op(
        "linalg.pinv",
        "The pseudoinverse of what the cut-off leaves of x. Derivatives hold while no singular "
        "value crosses the cut-off, and are not finite where one next to it is cut.",
        lambda x: (x.dtype, (x.n, x.m)),
        poles=True,
        own_rule=True,
        attrs={"rtol": RTOL},
    ),
    matrix_op(
        "linalg.qr",
        "Q, R with x = Q R, orthonormal columns in Q (..., m, k), R (..., k, n), k = min(m, n). "
        "Derivatives are not finite where the first k columns depend on each other.",
        tall,
        wide,
        poles=True,
    ),
    matrix_op(
        "linalg.slogdet",
        "Sign (complex: phase) of the determinant, and the logarithm of its magnitude.",
        scalar,
        lambda x: (x.real, ()),
        square=True,
        poles=True,
    ),
    matrix_op(
        "linalg.svd",
        "U (..., m, k), singular values falling, Vᴴ (..., k, n), k = min(m, n). Derivatives of "
        "U and Vᴴ are not finite where singular values repeat up to rounding, or those of a "
        "matrix that isn't square are 0.",
        tall,
        singular_values,
        wide,
        poles=True,
        own_rule=True,
        advice=_WITHOUT_SPECTRUM,
    ),
    matrix_op(
        "linalg.svdvals",
        "Singular values, falling. Where they repeat or are 0, each has the first derivative of "
        "some pair of bases, and only sums over them have second ones.",
        singular_values,
        poles=True,
        own_rule=True,
        advice=_WITHOUT_SPECTRUM,
    ),
    matrix_op(
        "linalg.trace",
        "The sum of a diagonal.",
        scalar,
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
