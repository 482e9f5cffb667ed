"""One function for each sample of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradwire.errors import InvalidInputError
from gradwire.evaluate import remote
from gradwire.tensors import TensorType
from gradwire.trace.builder import Ref, active_builder
from gradwire.trace.function import trace_function
from gradwire.trace.program import TracedProgram, trace_program
from gradwire.trace.traced import Traced
from gradwire.trace.values import as_traced, current_builder
from gradwire.trees import Tree, argument_names, flatten, unflatten

InAxes = int | None | Sequence[Any]
"""An axis for every leaf, or a tuple with an entry for each argument: an axis,
None, or a container of these with the argument's shape."""


def move_axis(value: Any, source: int | None, target: int | None) -> Any:
    """Moves an axis; does nothing for an axis of None."""
    if source is None or target is None or source == target:
        return value
    return np.moveaxis(value, source, target)


def spread_axes(prefix: Any, tree: Any, what: str) -> list[int | None]:
    """Returns one axis for each leaf from axes given for it or for a container of it.

    Raises:
        TypeError: the axes don't have the shape of the tree's beginning.
    """
    if prefix is None or isinstance(prefix, int):
        return [prefix] * len(flatten(tree)[0])
    if isinstance(prefix, dict) and isinstance(tree, dict) and set(prefix) == set(tree):
        ordered = flatten({key: key for key in tree})[1].keys
        return [axis for key in ordered for axis in spread_axes(prefix[key], tree[key], what)]
    if (
        isinstance(prefix, list | tuple)
        and isinstance(tree, list | tuple)
        and len(prefix) == len(tree)
    ):
        pairs = zip(prefix, tree, strict=True)
        return [axis for p, t in pairs for axis in spread_axes(p, t, what)]
    raise TypeError(
        f"`{what}` must be an int, None, or containers of them shaped like the arguments; "
        f"got {prefix!r}"
    )


def leaf_axes(in_axes: InAxes, args: Sequence[Any], kwargs: dict[str, Any]) -> list[int | None]:
    """Returns the mapped axis of each leaf of ``(args, kwargs)``, counted from the front.

    Keyword arguments are mapped along axis 0.

    Raises:
        TypeError: the axes don't fit the arguments.
        ValueError: an axis is out of range, nothing is mapped, or lengths differ.
    """
    prefix = list(in_axes) if isinstance(in_axes, list | tuple) else in_axes
    given = spread_axes(prefix, list(args), "in_axes") + spread_axes(0, kwargs, "in_axes")
    leaves, tree = flatten((tuple(args), kwargs))
    axes: list[int | None] = []
    lengths: dict[str, int] = {}
    for leaf, axis, name in zip(leaves, given, argument_names(tree), strict=True):
        if axis is None:
            axes.append(None)
            continue
        shape = np.shape(leaf)
        if not -len(shape) <= axis < len(shape):
            raise ValueError(
                f"`in_axes` must name an axis of `{name}`, which has {len(shape)}; got {axis}"
            )
        axes.append(axis % len(shape))
        lengths[name] = shape[axis]
    if not lengths:
        raise ValueError("`in_axes` must map at least one argument; got None for all")
    if len(set(lengths.values())) > 1:
        raise InvalidInputError(f"mapped axes must have one length; got {lengths}")
    return axes


class VmapFunction:
    """A function of one sample, applied to each sample of a batch. See ``vmap``."""

    def __init__(self, function: Callable[..., Any], in_axes: InAxes, out_axes: Any) -> None:
        self.__wrapped__ = function
        self.__name__ = f"vmap({getattr(function, '__name__', 'function')})"
        self._in_axes = in_axes
        self._out_axes = out_axes

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Applies the function to each sample."""
        if active_builder() is not None:
            return self._emit(args, kwargs)
        return remote(self)(*args, **kwargs)

    def trace_top_level(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any
    ) -> TracedProgram:
        """Traces the function of one sample; the batch axis stays open."""
        axes = leaf_axes(self._in_axes, args, kwargs)
        return trace_program(
            self.__wrapped__, args, kwargs, axes=axes, out_axes=self._out_leaf_axes, **options
        )

    def _out_leaf_axes(self, tree: Tree) -> list[int]:
        whole = unflatten(tree, range(tree.num_leaves))
        axes = spread_axes(self._out_axes, whole, "out_axes")
        if None in axes:
            raise ValueError("`out_axes` must be integers; got None")
        return [axis for axis in axes if axis is not None]

    def _emit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        builder = current_builder()
        axes = leaf_axes(self._in_axes, args, kwargs)
        leaves, tree = flatten((args, kwargs))
        operands = [
            as_traced(move_axis(as_traced(leaf), axis, 0))
            for leaf, axis in zip(leaves, axes, strict=True)
        ]
        types = [
            t.ref.type if axis is None else TensorType(t.dtype, t.shape[1:])
            for t, axis in zip(operands, axes, strict=True)
        ]
        varying = [axis is not None for axis in axes]
        traced = trace_function(builder, self.__wrapped__, operands, types, tree, varying=varying)
        mapped = (0,) * len(traced.captures) + tuple(map(int, varying))
        refs = builder.emit(
            "vmap",
            [*traced.captures, *(x.ref for x in operands)],
            {"mapped": mapped},
            [traced.index],
        )
        out_axes = self._out_leaf_axes(traced.tree)
        results = [move_axis(Traced(r), 0, axis) for r, axis in zip(refs, out_axes, strict=True)]
        return unflatten(traced.tree, results)


def vmap(f: Callable[..., Any], in_axes: InAxes = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """Makes the function that applies ``f`` to each sample of a batch.

    At top level the length of the batch may differ from call to call without a
    new program. Values that ``f`` captures are the same for all samples.

    Args:
        f: The function of one sample.
        in_axes: The batch axis: for all arguments, or a tuple with one entry
            for each; None for an argument that all samples share.
        out_axes: Where the batch axis of the results goes: one for all, or
            containers of axes shaped like the result.

    Returns:
        A function of the batches.
    """
    return VmapFunction(f, in_axes, out_axes)


def varies_under_vmap(value: Traced) -> bool | None:
    """Says whether a value differs between the samples of the vmap it is traced in.

    Returns:
        None outside any vmap; else whether it depends on a mapped argument of
        the innermost one.
    """
    builder = current_builder()
    while not any(builder.varying.values()):
        if builder.parent is None:
            return None
        builder = builder.parent
    return _depends(value.ref, builder, {})


def _depends(ref: Ref, mapped: Any, known: dict[Ref, bool]) -> bool:
    """Whether a value depends on a mapped parameter of the builder ``mapped``."""
    if ref in known:
        return known[ref]
    builder = ref.builder
    known[ref] = False
    captured = {inner: outer for outer, inner in builder.captures.items()}
    if ref.id in captured:
        found = builder is not mapped and _depends(captured[ref.id], mapped, known)
    elif ref.id in builder.params:
        found = (
            builder.varying.get(ref.id, False)
            if builder is mapped
            else ref.id in builder.arguments and _depends(builder.arguments[ref.id], mapped, known)
        )
    else:
        node = next((n for n in builder.nodes if ref.id in n.outputs), None)
        found = node is not None and any(
            _depends(Ref(builder, name), mapped, known) for name in node.inputs
        )
    known[ref] = found
    return found
