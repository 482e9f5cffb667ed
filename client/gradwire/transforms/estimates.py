"""Traces and diagonals estimated from random products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradwire.errors import InvalidInputError
from gradwire.tensors import TensorType
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import as_operand, as_traced, convert, current_builder
from gradwire.transforms.derivation import (
    Argnums,
    Derivation,
    Operator,
    Point,
    derive,
    make_point,
    match_leaves,
    square_value,
)
from gradwire.transforms.jacobians import arrange, num_elements
from gradwire.transforms.vmap import varies_under_vmap
from gradwire.trees import flatten, unflatten

UINT32 = np.dtype(np.uint32)


def trace_estimate(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    operator: str = "jacobian",
    method: str = "hutchinson",
    num_samples: int = 1,
    has_aux: bool = False,
    with_value: bool = False,
) -> Callable[..., Any]:
    """Makes an unbiased estimate of the trace of a Jacobian or Hessian.

    The mean of ``vᵀAv`` over random signs v (Hutchinson 1990), each a product
    with A. Once ``num_samples`` reaches the size of A, the trace is exact.

    Args:
        f: For ``jacobian`` a function whose value is like its argument; for
            ``hessian`` one with a scalar result.
        argnums: Which positional arguments are differentiated.
        operator: ``jacobian`` or ``hessian``.
        method: ``hutchinson``.
        num_samples: How many random vectors.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.
        with_value: Whether to return the value as well.

    Returns:
        A function of the same arguments, and ``seed=`` (an integer) or
        ``probes=`` (the argument's tree, each leaf with a leading axis of
        vectors). It returns ``(estimate, sem, matvecs)``: the estimate's
        standard error has no gradient, is inf for one sample and 0 for an exact
        trace; ``matvecs`` is the number of products, an int. Under ``vmap`` the
        seed must differ between samples, or ``shared_probes=True`` be written.
    """

    def emit(*args: Any, **kwargs: Any) -> Any:
        options = {"operator": operator, "method": method, "num_samples": num_samples}
        d, _, matvecs = _estimate("trace_estimate", f, args, kwargs, argnums, has_aux, options)
        estimate, sem = d.derivatives
        answer = (estimate, sem, matvecs)
        return arrange(d, answer, has_aux=has_aux, with_value=with_value)

    return Operator("trace_estimate", f, emit)


def diagonal_estimate(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    operator: str = "jacobian",
    method: str = "hutchinson",
    num_samples: int = 1,
    has_aux: bool = False,
    with_value: bool = False,
) -> Callable[..., Any]:
    """Makes an unbiased estimate of the diagonal of a Jacobian or Hessian.

    The mean of ``v ∘ Av`` over random signs v (Bekas, Kokiopoulou and Saad 2007).

    Args:
        f: As for ``trace_estimate``.
        argnums: Which positional arguments are differentiated.
        operator: ``jacobian`` or ``hessian``.
        method: ``hutchinson``.
        num_samples: How many random vectors.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.
        with_value: Whether to return the value as well.

    Returns:
        A function as that of ``trace_estimate``; estimate and standard error are
        shaped like the argument.
    """

    def emit(*args: Any, **kwargs: Any) -> Any:
        options = {"operator": operator, "method": method, "num_samples": num_samples}
        d, point, matvecs = _estimate(
            "diagonal_estimate", f, args, kwargs, argnums, has_aux, options
        )
        n = len(point.wrt)
        estimate = unflatten(point.wrt_tree, d.derivatives[:n])
        sem = unflatten(point.wrt_tree, d.derivatives[n:])
        answer = (estimate, sem, matvecs)
        return arrange(d, answer, has_aux=has_aux, with_value=with_value)

    return Operator("diagonal_estimate", f, emit)


def _estimate(
    op: str,
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: Argnums,
    has_aux: bool,
    options: dict[str, Any],
) -> tuple[Derivation, Point, int]:
    kwargs = dict(kwargs)
    seed = kwargs.pop("seed", None)
    probes = kwargs.pop("probes", None)
    shared_probes = bool(kwargs.pop("shared_probes", False))
    if (seed is None) == (probes is None):
        raise TypeError(f"gw.{op} needs either `seed` or `probes`")
    point = make_point(args, kwargs, argnums)
    if probes is None:
        extra = [_seed(seed, shared_probes)]
        matvecs = min(options["num_samples"], num_elements(point))
    else:
        extra = _probes(probes, point)
        options = {**options, "num_samples": extra[0].shape[0], "probes": True}
        matvecs = options["num_samples"]
    if options["operator"] == "jacobian":
        options["decide"] = square_value(op, point, 'operator="hessian"')
    d = derive(op, f, point, extras=lambda types, tree: extra, has_aux=has_aux, **options)
    if matvecs == 1:
        errors = d.derivatives[len(d.derivatives) // 2 :]
        current_builder().trace.infinite.update(error.ref for error in errors)
    return d, point, matvecs


def _seed(seed: Any, shared_probes: bool) -> Traced:
    operand = as_operand(seed)
    if np.shape(operand) != ():
        raise InvalidInputError(f"`seed` must be one integer; got shape {np.shape(operand)}")
    if type(operand) is int and not 0 <= operand < 2**32:
        raise InvalidInputError(f"`seed` must be from 0 to 2**32 - 1; got {operand}")
    traced = as_traced(operand)
    if traced.dtype.kind not in "iu":
        raise InvalidInputError(f"`seed` must be an integer; got {traced.dtype.name}")
    if varies_under_vmap(traced) is False and not shared_probes:
        refuse(
            "every sample would get the same random vectors, whose errors don't average out: "
            "map a seed for each sample, or write shared_probes=True"
        )
    return convert(operand, UINT32)


def _probes(probes: Any, point: Point) -> list[Traced]:
    leaves, _ = flatten(probes)
    count = np.shape(leaves[0])[0] if leaves and np.ndim(leaves[0]) else 0
    if not count:
        raise InvalidInputError("`probes` must carry a leading axis with at least one vector")
    types = [TensorType(t.dtype, (count, *t.shape)) for t in point.wrt_types]
    return match_leaves(probes, types, point.wrt_tree, name="probes", of="argument")
