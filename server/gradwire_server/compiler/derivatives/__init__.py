"""The ops that take functions in JAX, one file for each kind."""

from gradwire_server.compiler.derivatives import (
    control,
    estimates,
    functions,
    implicit,
    jacobians,
    products,
    second_order,
)
from gradwire_server.compiler.lowering.core import Lowering

OPERATORS: dict[str, Lowering] = {
    **functions.LOWERINGS,
    **control.LOWERINGS,
    **implicit.LOWERINGS,
    **products.LOWERINGS,
    **jacobians.LOWERINGS,
    **second_order.LOWERINGS,
    **estimates.LOWERINGS,
}
"""The operators and the control ops by name. Each is made of JAX's transformations and therefore
differentiable itself, with respect to tangents, cotangents and captures too."""

__all__ = ["OPERATORS"]
