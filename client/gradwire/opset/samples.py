"""How the operands of operators over batches divide into samples. Needs NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradwire.opset.core import require
from gradwire.opset.differentiation import AUTO, FORWARD, Layout, num_sweeps, offered_modes
from gradwire.tensors import TensorType


@dataclass(frozen=True, slots=True)
class BatchedLayout:
    """How the leaves and values of a ``batched_jacobian`` divide into samples.

    Attributes:
        size: The number of samples.
        mapped: Whether each leaf carries the batch on axis 0.
        leaves: The types of one sample of each mapped leaf.
        parameters: The types of the other leaves.
        values: The types of one sample of each value.
    """

    size: int
    mapped: tuple[bool, ...]
    leaves: tuple[TensorType, ...]
    parameters: tuple[TensorType, ...]
    values: tuple[TensorType, ...]


def divide_batch(layout: Layout, attrs: Mapping[str, Any]) -> BatchedLayout:
    """Returns the layout of the samples.

    Raises:
        InvalidProgramError: the batch axes don't agree.
    """
    captures = attrs["num_captures"]
    arguments = layout.params[captures:]
    flags = check_flags(attrs["mapped"], len(arguments))
    size = shared_length([t for t, flag in zip(arguments, flags, strict=True) if flag])
    for position, value in enumerate(layout.values):
        require(
            value.shape[:1] == (size,),
            lambda p=position, t=value: (  # type: ignore[misc]
                f"the function's results must have the batch of {size} on axis 0; result {p} is {t}"
            ),
        )
    mapped = tuple(flags[p - captures] for p in layout.positions)
    leaves = list(zip(layout.leaves, mapped, strict=True))
    return BatchedLayout(
        size,
        mapped,
        tuple(sample_type(leaf) for leaf, flag in leaves if flag),
        tuple(leaf for leaf, flag in leaves if not flag),
        tuple(sample_type(value) for value in layout.values),
    )


def check_flags(mapped: Sequence[int], count: int) -> list[bool]:
    """Returns ``mapped`` as truth values, one for each operand, at least one true."""
    require(
        len(mapped) == count and set(mapped) <= {0, 1} and any(mapped),
        lambda: f"`mapped` must hold 0 or 1 for each of {count} operands, and one 1; got {mapped}",
    )
    return [bool(flag) for flag in mapped]


def shared_length(operands: Sequence[TensorType]) -> int:
    """Returns the length of axis 0 of all operands; raises if there isn't one."""
    lengths = {operand.shape[:1] for operand in operands}
    require(
        len(lengths) == 1 and () not in lengths,
        lambda: (
            f"mapped operands must have one length on axis 0; got {', '.join(map(str, operands))}"
        ),
    )
    return operands[0].shape[0]


def sample_type(batch: TensorType) -> TensorType:
    """Returns the type of one row of axis 0."""
    return TensorType(batch.dtype, batch.shape[1:])


def sample_modes(batched: BatchedLayout, attrs: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the directions offered for the blocks with respect to mapped leaves."""
    return offered_modes(batched.leaves, batched.values, attrs)


def parameter_modes(batched: BatchedLayout, attrs: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the directions offered for the Jacobian with respect to the other leaves."""
    mode = attrs["mode"] if attrs["parameter_mode"] == AUTO else attrs["parameter_mode"]
    return offered_modes(batched.parameters, batched.values, {**attrs, "mode": mode})


def sample_sweeps(batched: BatchedLayout, mode: str) -> int:
    """Returns the sweeps for the blocks; one is for all samples."""
    return num_sweeps(batched.leaves, batched.values, mode)


def parameter_sweeps(batched: BatchedLayout, mode: str) -> int:
    """Returns the sweeps for the leaves that aren't mapped.

    A reverse sweep yields one row of the Jacobian, hence B·m of them.
    """
    sweeps = num_sweeps(batched.parameters, batched.values, mode)
    return sweeps if mode == FORWARD else batched.size * sweeps
