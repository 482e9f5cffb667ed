"""The operator family in JAX, one file for each kind of operator."""

from gradwire_server.derivatives import (
    estimates,
    functions,
    jacobians,
    products,
    second_order,
)
from gradwire_server.lowering.core import Lowering

OPERATORS: dict[str, Lowering] = {
    **functions.LOWERINGS,
    **products.LOWERINGS,
    **jacobians.LOWERINGS,
    **second_order.LOWERINGS,
    **estimates.LOWERINGS,
}
"""The operators by name. Each is made of JAX's transformations and therefore
differentiable itself, with respect to tangents, cotangents and captures too."""

__all__ = ["OPERATORS"]
