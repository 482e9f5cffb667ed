"""Whole Jacobians and their traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.trace.function import TracedFunction
from gradwire.transforms.coupling import check_blocks, is_independent, refuse_coupled
from gradwire.transforms.derivation import (
    Argnums,
    Derivation,
    Operator,
    Point,
    derive,
    make_point,
    square_value,
)
from gradwire.transforms.vmap import InAxes, leaf_axes, move_axis
from gradwire.trees import flatten, unflatten


def arrange(d: Derivation, derivative: Any, *, has_aux: bool, with_value: bool) -> Any:
    """Returns a derivative with the value or aux that the caller asked for."""
    if with_value:
        return ((d.value, d.aux) if has_aux else d.value), derivative
    return (derivative, d.aux) if has_aux else derivative


def jacobian(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    mode: str = "auto",
    chunk: int | None = None,
    has_aux: bool = False,
    with_value: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """Makes the Jacobian of a function.

    Args:
        f: The function.
        argnums: Which positional arguments are differentiated.
        mode: ``forward`` (one pass per input element), ``reverse`` (one per
            output element), or ``auto``: whichever needs fewer.
        chunk: How many passes run at once; all by default. Less needs less memory.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.
        with_value: Whether to return the value as well.
        holomorphic: Whether ``f`` is holomorphic, with complex arguments and results.

    Returns:
        A function of the same arguments that returns, for each result leaf of
        shape ``out`` and each argument leaf of shape ``in``, an array
        ``(*out, *in)``: the value's tree of the argument's trees (a tuple for
        several ``argnums``).
    """

    def emit(*args: Any, **kwargs: Any) -> Any:
        point = make_point(args, kwargs, argnums)
        d = derive(
            "jacobian",
            f,
            point,
            has_aux=has_aux,
            mode=mode,
            chunk=chunk or 0,
            holomorphic=holomorphic,
        )
        return arrange(d, d.per_result(point.wrt_tree), has_aux=has_aux, with_value=with_value)

    return Operator("jacobian", f, emit)


def batched_jacobian(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    in_axes: InAxes = 0,
    mode: str = "auto",
    chunk: int | None = None,
    independent: bool = False,
    has_aux: bool = False,
    with_value: bool = False,
) -> Callable[..., Any]:
    """Makes the per-sample Jacobians of a function written for a whole batch.

    Only the diagonal blocks are computed, in as many passes as one sample's
    Jacobian needs. That is right only if no sample's result depends on another
    sample. It is proved from the program where it can be. Where it can't, a call
    at top level compares the blocks with one Jacobian-vector product along
    independent random directions; inside a traced function ``independent=True``
    must be written. With respect to arguments without a batch axis the whole
    Jacobian is computed, and nothing has to be independent.

    Args:
        f: A function ``(B, *in) -> (B, *out)``.
        argnums: Which positional arguments are differentiated.
        in_axes: The batch axis of each argument; None for none.
        mode: ``forward``, ``reverse`` or ``auto``.
        chunk: How many passes run at once; all by default.
        independent: States that samples don't mix; nothing is checked then.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.
        with_value: Whether to return the value as well.

    Returns:
        A function of the same arguments that returns ``(B, *out, *in)`` for each
        result leaf and each argument leaf.

    Raises:
        CoupledBatchError: the random directions show that samples mix.
        TraceError: inside a traced function, independence can't be proved.
    """

    def emit_with(args: Any, kwargs: dict[str, Any], *, may_check: bool) -> Any:
        leaves, tree = flatten((tuple(args), kwargs))
        axes = leaf_axes(in_axes, args, kwargs)
        moved = [move_axis(x, axis, 0) for x, axis in zip(leaves, axes, strict=True)]
        moved_args, moved_kwargs = unflatten(tree, moved)
        point = make_point(moved_args, moved_kwargs, argnums)

        def batch_first(*inner_args: Any, **inner_kwargs: Any) -> Any:
            inner, shape = flatten((inner_args, inner_kwargs))
            back = [move_axis(x, 0, axis) for x, axis in zip(inner, axes, strict=True)]
            original_args, original_kwargs = unflatten(shape, back)
            return f(*original_args, **original_kwargs)

        batch_first.__name__ = getattr(f, "__name__", "function")
        mapped = tuple(int(axis is not None) for axis in axes)
        proved = True

        def decide(traced: TracedFunction, num_values: int) -> dict[str, Any]:
            nonlocal proved
            proved = independent or is_independent(traced, point, mapped, num_values)
            if not proved and not may_check:
                refuse_coupled()
            return {"independent": independent or not proved}

        d = derive(
            "batched_jacobian",
            batch_first,
            point,
            has_aux=has_aux,
            decide=decide,
            mapped=mapped,
            mode=mode,
            chunk=chunk or 0,
        )
        if not proved:
            check_blocks(point, mapped, d)
        return arrange(d, d.per_result(point.wrt_tree), has_aux=has_aux, with_value=with_value)

    return Operator(
        "batched_jacobian",
        f,
        lambda *args, **kwargs: emit_with(args, kwargs, may_check=False),
        lambda *args, **kwargs: emit_with(args, kwargs, may_check=True),
    )


def jacobian_trace(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    chunk: int | None = None,
    has_aux: bool = False,
    with_value: bool = False,
) -> Callable[..., Any]:
    """Makes the trace of the Jacobian of a function whose value is like its argument.

    It is exact, in one pass for each input element; see ``trace_estimate`` for less.

    Args:
        f: A function whose value has the tree and shapes of the argument.
        argnums: Which positional argument is differentiated.
        chunk: How many passes run at once; all by default.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.
        with_value: Whether to return the value as well.

    Returns:
        A function of the same arguments that returns a scalar, the divergence.
    """

    def emit(*args: Any, **kwargs: Any) -> Any:
        point = make_point(args, kwargs, argnums)
        decide = square_value("jacobian_trace", point, "gw.laplacian")
        d = derive("jacobian_trace", f, point, has_aux=has_aux, decide=decide, chunk=chunk or 0)
        return arrange(d, d.derivatives[0], has_aux=has_aux, with_value=with_value)

    return Operator("jacobian_trace", f, emit)


def num_elements(point: Point) -> int:
    """Returns the number of elements that are differentiated."""
    return int(np.sum([t.size for t in point.wrt_types], dtype=np.int64))
