"""The opset: one table that the client infers types with and the server validates with.

One file for each family. Needs NumPy only.
"""

from gradwire.opset import (
    contraction,
    control,
    creation,
    derivative,
    elementwise,
    fft,
    index,
    joining,
    linalg,
    matrix_equations,
    nn,
    random,
    reduction,
    searching,
    shape,
    solvers,
    special,
)
from gradwire.opset.core import OPSET_VERSION, OpDef

FAMILIES: dict[str, tuple[OpDef, ...]] = {
    "elementwise": elementwise.OPS,
    "reduction": reduction.OPS,
    "creation": creation.OPS,
    "shape": shape.OPS + joining.OPS,
    "index": index.OPS + searching.OPS,
    "linalg": contraction.OPS + linalg.OPS + solvers.OPS + matrix_equations.OPS,
    "fft": fft.OPS,
    "special": special.OPS,
    "nn": nn.OPS,
    "random": random.OPS,
    "control": control.OPS,
    "operator": derivative.OPS,
}
"""The ops by family, in the order of the reference page."""

OPS: dict[str, OpDef] = {op.name: op for family in FAMILIES.values() for op in family}
"""The ops by name."""

BY_UFUNC: dict[str, OpDef] = {ufunc: op for op in OPS.values() for ufunc in op.ufuncs}
"""The ops by the full names of the ufuncs that they are."""

BY_UFUNC_METHOD: dict[str, OpDef] = {op.ufunc_method: op for op in OPS.values() if op.ufunc_method}
"""The ops by the methods of NumPy's ufuncs that they are."""

__all__ = ["BY_UFUNC", "BY_UFUNC_METHOD", "FAMILIES", "OPS", "OPSET_VERSION", "OpDef"]
