"""Second derivatives: Hessians, their diagonals and their traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradwire.transforms.derivation import Argnums, Operator, derive, make_point
from gradwire.transforms.jacobians import arrange
from gradwire.trees import unflatten


def hessian(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    chunk: int | None = None,
    has_aux: bool = False,
    with_value: bool = False,
) -> Callable[..., Any]:
    """Makes the Hessian of a function.

    Args:
        f: The function.
        argnums: Which positional arguments are differentiated.
        chunk: How many passes run at once; all by default.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.
        with_value: Whether to return the value as well.

    Returns:
        A function of the same arguments that returns, for each result leaf and
        each pair of argument leaves, ``(*out, *in_i, *in_j)``: the value's tree
        of the argument's trees of the argument's trees.
    """

    def emit(*args: Any, **kwargs: Any) -> Any:
        point = make_point(args, kwargs, argnums)
        d = derive("hessian", f, point, has_aux=has_aux, chunk=chunk or 0)
        n = len(point.wrt)
        rows = [
            unflatten(point.wrt_tree, d.derivatives[start : start + n])
            for start in range(0, len(d.derivatives), n)
        ]
        blocks = [
            unflatten(point.wrt_tree, rows[start : start + n]) for start in range(0, len(rows), n)
        ]
        derivative = unflatten(d.value_tree, blocks)
        return arrange(d, derivative, has_aux=has_aux, with_value=with_value)

    return Operator("hessian", f, emit)


def hessian_diagonal(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    chunk: int | None = None,
    has_aux: bool = False,
    with_value: bool = False,
) -> Callable[..., Any]:
    """Makes the diagonal of the Hessian of each result, without the rest of it.

    Args:
        f: The function.
        argnums: Which positional arguments are differentiated.
        chunk: How many passes run at once; all by default.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.
        with_value: Whether to return the value as well.

    Returns:
        A function of the same arguments that returns ``(*out, *in)`` for each
        result leaf and each argument leaf: ``d²out/din²``.
    """

    def emit(*args: Any, **kwargs: Any) -> Any:
        point = make_point(args, kwargs, argnums)
        d = derive("hessian_diagonal", f, point, has_aux=has_aux, chunk=chunk or 0)
        return arrange(d, d.per_result(point.wrt_tree), has_aux=has_aux, with_value=with_value)

    return Operator("hessian_diagonal", f, emit)


def laplacian(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    with_grad: bool = False,
    chunk: int | None = None,
    has_aux: bool = False,
    with_value: bool = False,
) -> Callable[..., Any]:
    """Makes the Laplacian of each result: the sum of its Hessian's diagonal.

    Args:
        f: The function.
        argnums: Which positional arguments are differentiated; their leaves are
            summed over.
        with_grad: Whether to return value and gradient too, from the same pass.
        chunk: How many passes run at once; all by default.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.
        with_value: Whether to return the value as well.

    Returns:
        A function of the same arguments that returns ``(*out)`` for each result
        leaf; with ``with_grad`` the triple ``(value, gradient, laplacian)``,
        the gradient as ``gw.jacobian`` has it. With ``has_aux``, ``aux`` comes
        last, or beside the value.
    """

    def emit(*args: Any, **kwargs: Any) -> Any:
        point = make_point(args, kwargs, argnums)
        d = derive("laplacian", f, point, has_aux=has_aux, with_grad=with_grad, chunk=chunk or 0)
        count = len(d.values)
        derivative = unflatten(d.value_tree, d.derivatives[-count:])
        if not with_grad:
            return arrange(d, derivative, has_aux=has_aux, with_value=with_value)
        n = len(point.wrt)
        rows = [
            unflatten(point.wrt_tree, d.derivatives[start : start + n])
            for start in range(0, n * count, n)
        ]
        triple = d.value, unflatten(d.value_tree, rows), derivative
        return (*triple, d.aux) if has_aux else triple

    return Operator("laplacian", f, emit)
