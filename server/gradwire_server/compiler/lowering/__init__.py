"""One JAX function for each op of the table, one file for each family."""

from gradwire_server.compiler.lowering import (
    contraction,
    creation,
    fft,
    index,
    nn,
    random,
    reduction,
    shape,
)
from gradwire_server.compiler.lowering.core import JaxFunction, Lowering
from gradwire_server.compiler.lowering.elementwise import ops as elementwise
from gradwire_server.compiler.lowering.elementwise import softmax
from gradwire_server.compiler.lowering.function import lower_function
from gradwire_server.compiler.lowering.linalg import (
    decompositions,
    determinant,
    exponential,
    matrix_equations,
    solvers,
)
from gradwire_server.compiler.lowering.linalg import ops as linalg
from gradwire_server.compiler.lowering.linalg.guard import guard_all
from gradwire_server.compiler.lowering.linalg.lapack import cut_batches
from gradwire_server.compiler.lowering.special import ops as special

_PLAIN: dict[str, Lowering] = {
    **elementwise.LOWERINGS,
    **reduction.LOWERINGS,
    **softmax.LOWERINGS,
    **creation.LOWERINGS,
    **shape.LOWERINGS,
    **index.LOWERINGS,
    **contraction.LOWERINGS,
    **linalg.LOWERINGS,
    **decompositions.LOWERINGS,
    **determinant.LOWERINGS,
    **solvers.LOWERINGS,
    **exponential.LOWERINGS,
    **matrix_equations.LOWERINGS,
    **fft.LOWERINGS,
    **special.LOWERINGS,
    **nn.LOWERINGS,
    **random.LOWERINGS,
}

cut_batches()

LOWERINGS = guard_all(_PLAIN)
"""The ops without functions, by name; the operators are in ``derivatives``."""

__all__ = ["LOWERINGS", "JaxFunction", "Lowering", "lower_function"]
