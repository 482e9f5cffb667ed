"""What NumPy's ufuncs, functions and methods mean for traced arrays.

Importing it registers everything with `trace.traced`.
"""

from gradwire.numpy_api import (
    array_types,
    calculus,
    choosing,
    comparing,
    creation,
    einsum,
    fourier,
    indexing,
    joining,
    linear_algebra,
    methods,
    missing,
    norms,
    products,
    quantiles,
    reductions,
    refusals,
    shapes,
    sorting,
    special,
    ufunc_methods,
    ufuncs,
)

__all__ = [
    "array_types",
    "calculus",
    "choosing",
    "comparing",
    "creation",
    "einsum",
    "fourier",
    "indexing",
    "joining",
    "linear_algebra",
    "methods",
    "missing",
    "norms",
    "products",
    "quantiles",
    "reductions",
    "refusals",
    "shapes",
    "sorting",
    "special",
    "ufunc_methods",
    "ufuncs",
]
