"""Finds sums of elementwise functions over a spectrum in a function of a program.

Only the node of the sum is lowered in another way, to the same value; other uses of the
spectrum, and of what is computed from it, don't change. See ``spectral_sums`` for the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gradwire.ir.infer import FunctionInfo
from gradwire.ir.program import Function, Node
from gradwire.opset import OPS
from gradwire.opset.core import Call
from gradwire.opset.rules import attr_axes, elementwise_batch
from gradwire.tensors import TensorType
from gradwire_server.compiler.lowering.linalg.guard import Operand, guarded
from gradwire_server.compiler.lowering.linalg.spectral_sums import (
    Terms,
    hermitian_sum,
    singular_sum,
    sum_of_squares,
)
from gradwire_server.compiler.lowering.linalg.triangles import hermitian_from

_SPECTRA = {"linalg.eigh": 0, "linalg.eigvalsh": 0, "linalg.svd": 1, "linalg.svdvals": 0}
"""The ops whose output of this number is a spectrum."""

_ELEMENTWISE = {op for op, entry in OPS.items() if entry.batch is elementwise_batch}
_ELEMENTWISE |= {"integer_pow", "special.polygamma"}  # of one operand: their rule is simpler

_Lowerings = Mapping[str, Callable[..., Any]]


@dataclass
class _Chain:
    """An elementwise function of one spectrum.

    Attributes:
        node: The node of the spectrum.
        call: The types and attributes of that node.
        steps: The nodes of the function, each with its types and attributes.
        parameters: The ids that it depends on besides.
    """

    node: Node
    call: Call
    steps: tuple[tuple[Node, Call], ...] = ()
    parameters: frozenset[int] = field(default_factory=frozenset)

    @property
    def spectrum(self) -> int:
        """The id of the spectrum."""
        return self.node.outputs[_SPECTRA[self.node.op]]

    @property
    def is_square(self) -> bool:
        """Whether it is the square of the spectrum."""
        if len(self.steps) != 1:
            return False
        ((node, call),) = self.steps
        return {
            "square": True,
            "multiply": set(node.inputs) == {self.spectrum},
            "integer_pow": call.attrs.get("exponent") == 2,
        }.get(node.op, False)


SumOver = Callable[[Mapping[int, Any], _Lowerings], jax.Array]
"""Computes the result of a node from the values before it."""


def find_spectral_sums(function: Function, info: FunctionInfo) -> dict[int, SumOver]:
    """Returns what to run instead of nodes, by their positions."""
    found: dict[int, SumOver] = {}
    chains: dict[int, _Chain] = {}
    for position, (node, call) in enumerate(zip(function.nodes, info.calls, strict=True)):
        if node.op in _SPECTRA:
            chain = _Chain(node, call)
            chains[chain.spectrum] = chain
        elif not any(name in chains for name in node.inputs):
            continue
        elif node.op in ("sum", "mean"):
            if call.inputs[0].ndim - 1 in attr_axes(call):
                (name,) = node.inputs
                found[position] = partial(_sum, chains[name], name, node.op, call)
        elif _is_inner_product(node.op, call):
            factors = Node("multiply", node.inputs, node.outputs)
            longer = _extend(chains, factors, Call(call.inputs), info.types, call.inputs[0])
            if longer is not None:
                total = Call((call.inputs[0],), {"axis": (-1,), "keepdims": False})
                found[position] = partial(_sum, longer, node.outputs[0], "sum", total)
        elif node.op in _ELEMENTWISE:
            longer = _extend(chains, node, call, info.types, info.types[node.outputs[0]])
            if longer is not None:
                chains[node.outputs[0]] = longer
    return found


def _is_inner_product(op: str, call: Call) -> bool:
    """Says whether a node sums the products of two arrays of one shape over the last axis."""
    if len({operand.shape for operand in call.inputs}) != 1:
        return False
    ndim = call.inputs[0].ndim
    return (op == "matmul" and ndim == 1) or (
        op == "vecdot" and call.attrs["axis"] % ndim == ndim - 1
    )


def _extend(
    chains: Mapping[int, _Chain],
    node: Node,
    call: Call,
    types: Mapping[int, TensorType],
    output: TensorType,
) -> _Chain | None:
    """Returns the chain that an elementwise node makes, if it is one."""
    before = [chains[name] for name in dict.fromkeys(node.inputs) if name in chains]
    if len({chain.spectrum for chain in before}) != 1:
        return None
    spectrum = types[before[0].spectrum]
    if output.shape != spectrum.shape or output.dtype not in (spectrum.dtype, bool):
        return None
    parameters = [name for name in node.inputs if name not in chains]
    for name in parameters:
        # Along the spectrum it must be constant: only then the order doesn't matter.
        if types[name].dtype != spectrum.dtype or types[name].shape[-1:] not in ((), (1,)):
            return None
    steps = {step.outputs[0]: (step, known) for chain in before for step, known in chain.steps}
    return _Chain(
        before[0].node,
        before[0].call,
        (*steps.values(), (node, call)),
        frozenset(parameters).union(*(chain.parameters for chain in before)),
    )


def _sum(
    chain: _Chain,
    result: int,
    op: str,
    call: Call,
    values: Mapping[int, Any],
    lowerings: _Lowerings,
) -> jax.Array:
    """Computes a sum or a mean of a chain's ``result`` along axes of which the last is one."""
    matrix = values[chain.node.inputs[0]]
    hermitian = "lower" in chain.call.attrs
    if hermitian:
        matrix = hermitian_from(matrix, lower=chain.call.attrs["lower"])
    names = sorted(chain.parameters)
    parameters = [values[name] for name in names]

    def sum_of(matrix: jax.Array) -> jax.Array:
        if chain.is_square:
            return sum_of_squares(matrix)
        terms = _terms(chain, result, names, lowerings)
        return (hermitian_sum if hermitian else singular_sum)(terms, matrix, *parameters)

    total = guarded(sum_of, Operand())(matrix)
    axes, shape = attr_axes(call), call.inputs[0].shape
    others = tuple(axis for axis in axes if axis != len(shape) - 1)
    total = jnp.sum(total[..., None], others, keepdims=True)
    if op == "mean":
        total = total / math.prod(shape[axis] for axis in axes)
    return total if call.attrs["keepdims"] else jnp.squeeze(total, axes)


def _terms(chain: _Chain, result: int, names: list[int], lowerings: _Lowerings) -> Terms:
    def terms(spectrum: jax.Array, *parameters: jax.Array) -> jax.Array:
        values = {chain.spectrum: spectrum, **dict(zip(names, parameters, strict=True))}
        for node, call in chain.steps:
            operands = [values[name] for name in node.inputs]
            values[node.outputs[0]] = lowerings[node.op](*operands, **call.attrs)
        return values[result]

    return terms
