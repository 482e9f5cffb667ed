"""All the expressions that must mean to gradwire what they mean to NumPy."""

from __future__ import annotations

import numpy as np

from numpy_cases.arithmetic import MISSING, OPERATORS, QUANTILES, REDUCTIONS, UFUNCS
from numpy_cases.arrays import CREATION, ELEMENTS, INDEXING, SHAPES
from numpy_cases.core import NUMBERS, Case, cases
from numpy_cases.linear import FOURIER, LINEAR_ALGEBRA, PRODUCTS

__all__ = ["CASES", "Case"]

NUMPY_2_2 = [
    *cases(NUMBERS, "np.matvec(a, b)", "np.vecmat(b, e)", "np.matvec(c, c[:, 0])"),
    *cases(("int32",), "np.pad(a, {-1: (1, 2)})"),
]

CASES = (
    *OPERATORS,
    *UFUNCS,
    *REDUCTIONS,
    *MISSING,
    *QUANTILES,
    *SHAPES,
    *INDEXING,
    *ELEMENTS,
    *CREATION,
    *PRODUCTS,
    *LINEAR_ALGEBRA,
    *FOURIER,
    *(NUMPY_2_2 if hasattr(np, "matvec") else ()),
)
