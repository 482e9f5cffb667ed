"""Whether the samples of a batch are independent: proved, or tried with random directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradwire.errors import CoupledBatchError
from gradwire.ir.independence import prove_independent
from gradwire.tensors import Array, TensorType, is_complex
from gradwire.trace.builder import FreshSource
from gradwire.trace.function import TracedFunction
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import current_builder
from gradwire.transforms.derivation import Derivation, Point


def is_independent(
    traced: TracedFunction, point: Point, mapped: Sequence[int], num_values: int
) -> bool:
    """Says whether the table's batch-axis rules prove the samples independent."""
    trace = current_builder().trace
    wrt = set(point.wrt)
    axes: list[int | None] = [None] * len(traced.captures)
    axes += [0 if flag and place in wrt else None for place, flag in enumerate(mapped)]
    if not any(axis == 0 for axis in axes):
        return True
    return prove_independent(trace.functions, trace.infos, traced.index, axes, num_values) is None


def refuse_coupled() -> None:
    """Raises for a batched Jacobian that is nested and not proved."""
    refuse(
        "the samples of this batch can't be proved independent, and inside a traced function "
        "there is no run to check; write independent=True if they are, or vmap the function of "
        "one sample"
    )


def check_blocks(point: Point, mapped: Sequence[int], d: Derivation) -> None:
    """Adds a check that each run compares with one product along random directions.

    Each sample has a tangent of its own: a common one, or a mask over half the
    batch, passes many couplings. What another sample contributes to a result
    then differs from what the blocks predict, with probability one.
    """
    builder = current_builder()
    places = [place for place in point.wrt if mapped[place]]
    batch = point.types[places[0]].shape[0]
    if batch < 2:
        return
    tangents = [
        Traced(builder.trace.runtime_input(point.types[p], FreshSource(_normal(point.types[p]))))
        for p in places
    ]
    num_aux = len(d.traced.results) - len(d.values)
    refs = builder.emit(
        "jvp",
        [
            *d.traced.captures,
            *(x.ref for x in point.operands),
            *(t.ref for t in tangents),
        ],
        {"num_captures": len(d.traced.captures), "wrt": tuple(places), "num_aux": num_aux},
        [d.traced.index],
    )
    products = [Traced(ref) for ref in refs[len(d.values) : 2 * len(d.values)]]
    columns = [point.wrt.index(place) for place in places]
    for row, product in enumerate(products):
        if not product.size:
            continue
        blocks = [d.derivatives[row * len(point.wrt) + column] for column in columns]
        excess = _excess(blocks, tangents, product)
        builder.trace.checks.append(([excess.ref], _raise_if_coupled))


def _excess(blocks: Sequence[Traced], tangents: Sequence[Traced], product: Traced) -> Traced:
    """Returns by how much product and blocks differ beyond rounding; negative if not."""
    batch = product.shape[0]
    results = product.reshape(batch, -1)
    predicted = scale = 0.0
    for block, tangent in zip(blocks, tangents, strict=True):
        matrix = block.reshape(batch, results.shape[1], -1)
        column = tangent.reshape(batch, -1, 1)
        predicted = predicted + np.matmul(matrix, column)[:, :, 0]
        scale = scale + np.matmul(np.abs(matrix), np.abs(column))[:, :, 0]
    tolerance = float(np.sqrt(np.finfo(np.abs(results).dtype).eps))
    return np.max(np.abs(predicted - results) - tolerance * np.abs(scale))  # type: ignore[no-any-return]


def _normal(tensor_type: TensorType) -> Callable[[], Array]:
    """Makes the function that draws standard normal tangents of one type."""

    def draw() -> Array:
        rng = np.random.default_rng()
        values = rng.standard_normal(tensor_type.shape)
        if is_complex(tensor_type.dtype):
            values = values + 1j * rng.standard_normal(tensor_type.shape)
        return np.asarray(values).astype(tensor_type.dtype)

    return draw


def _raise_if_coupled(excess: Array) -> None:
    if excess > 0:
        raise CoupledBatchError(
            "the function mixes the samples of its batch, so per-sample Jacobians don't describe "
            "it; use gw.jacobian for the whole, or vmap a function of one sample"
        )
