"""What a subscript selects: shapes by NumPy's rules, without arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradwire.opset.core import At, ByArray, Index, NewAxis, Range, fail, require
from gradwire.opset.rules import broadcast_shapes, check_dtype
from gradwire.tensors import TensorType


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome of ``x[index]``.

    Attributes:
        shape: Its shape.
        whole: For each axis of x that is taken whole and in order: its axis here.
        by_arrays: The axis here at which the axes of the position arrays start.
    """

    shape: tuple[int, ...]
    whole: Mapping[int, int]
    by_arrays: int


def select(x: TensorType, index: Index, arrays: Sequence[TensorType]) -> Selection:
    """Returns what a subscript selects of ``x``.

    With position arrays, single positions count as arrays too, and the axes of
    all arrays, broadcast together, stand where the first of them stands; in
    front if a slice or a new axis is between them.

    Raises:
        InvalidProgramError: a position is outside its axis, there are more
            items than axes, or the arrays don't fit the items.
    """
    items = list(index)
    consumed = sum(not isinstance(item, NewAxis) for item in items)
    require(
        consumed <= x.ndim,
        lambda: f"`index` must have at most {x.ndim} items for {x}; got {consumed}",
    )
    items += [Range(None, None, None)] * (x.ndim - consumed)
    expected = sum(isinstance(item, ByArray) for item in items)
    require(
        len(arrays) == expected,
        lambda: (
            f"`inputs` must hold one array for each of the index's {expected}; got {len(arrays)}"
        ),
    )
    broadcast = broadcast_shapes([array.shape for array in arrays])
    _check_items(x, items, arrays, broadcast)

    advanced = [
        place
        for place, item in enumerate(items)
        if isinstance(item, ByArray) or (arrays and isinstance(item, At))
    ]
    together = not advanced or advanced[-1] - advanced[0] + 1 == len(advanced)
    shape: list[int] = []
    whole: dict[int, int] = {}
    by_arrays = 0
    if advanced and not together:
        shape += broadcast
    axis = 0
    for place, item in enumerate(items):
        if advanced and together and place == advanced[0]:
            by_arrays = len(shape)
            shape += broadcast
        if isinstance(item, NewAxis):
            shape.append(1)
            continue
        if isinstance(item, Range):
            length = len(_range(item, x.shape[axis]))
            if length == x.shape[axis] and item.step in (None, 1):
                whole[axis] = len(shape)
            shape.append(length)
        axis += 1
    return Selection(tuple(shape), whole, by_arrays)


def _range(item: Range, length: int) -> range:
    require(item.step != 0, lambda: "`index` must not hold a slice with step 0")
    return range(*slice(item.start, item.stop, item.step).indices(length))


def _check_items(
    x: TensorType,
    items: Sequence[At | Range | NewAxis | ByArray],
    arrays: Sequence[TensorType],
    broadcast: tuple[int, ...],
) -> None:
    for position, array in enumerate(arrays):
        check_dtype(array.dtype, "integer", f"position array {position} of `index`")
    lengths = iter(x.shape)
    for place, item in enumerate(items):
        if isinstance(item, NewAxis):
            continue
        length = next(lengths)
        if isinstance(item, At) and not -length <= item.position < length:
            raise fail(
                f"item {place} of `index` must be from {-length} to {length - 1} "
                f"for {x}; got {item.position}"
            )
        if isinstance(item, ByArray) and length == 0 and 0 not in broadcast:
            raise fail(f"`index` must not select from the empty axis of item {place}; got {x}")
