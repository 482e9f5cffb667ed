"""How far a node's inputs are from the places where its op has a kink or a jump."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conformance.index_functions import subscript
from gradwire.ir import Node

_AT_ZERO = {"abs", "sign", "nn.relu", "nn.elu", "nn.selu", "nn.leaky_relu", "special.i0e"}
_AT_TIES = {
    "maximum", "minimum", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
}  # fmt: skip
_AMONG = {
    "max", "min", "argmax", "argmin", "sort", "argsort", "top_k", "cumulative_max",
    "cumulative_min",
}  # fmt: skip
_AT_WHOLE = {"ceil", "floor", "trunc", "round"}


def distances(node: Node, inputs: Sequence[Any]) -> list[Any]:
    """Returns how far the inputs of a node are from its kinks and jumps, with signs."""
    op = node.op
    if op in _AT_ZERO:
        return [inputs[0]]
    if op in _AT_TIES:
        return [np.subtract(*map(np.float64, inputs))]
    if op == "clip":
        return [inputs[0] - inputs[1], inputs[0] - inputs[2]]
    if op == "copysign":
        return list(inputs)
    if op in _AT_WHOLE:
        return [_from_whole(2 * inputs[0] if op == "round" else inputs[0])]
    if op in ("remainder", "fmod", "floor_divide"):
        return [_from_whole(inputs[0] / inputs[1]), np.floor(inputs[0] / inputs[1]) + 0.5]
    if op in ("searchsorted", "interp"):
        x, points = inputs[:2] if op == "interp" else inputs[1::-1]
        return [x[..., None] - points]
    if op in ("index_max", "index_min"):
        where = subscript(inputs[0].shape, node.attrs["index"], inputs[2:])
        return [inputs[0][where] - inputs[1]]
    if op in _AMONG:
        return [_differences(inputs[0], node.attrs.get("axis", -1))]
    return []


def _from_whole(x: Any) -> Any:
    return x - np.round(x)


def _differences(x: Any, axis: int | tuple[int, ...]) -> Any:
    """The differences between any two elements along axes."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    flat = np.moveaxis(x, axes, range(len(axes))).reshape(-1, *np.delete(x.shape, axes))
    rows, columns = np.triu_indices(len(flat), 1)
    return np.asarray(flat[rows] - flat[columns])
