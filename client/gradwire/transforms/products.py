"""Products with a Jacobian or Hessian, and gradients: one pass of the function each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradwire.trace.traced import Traced
from gradwire.trace.values import current_builder
from gradwire.transforms.derivation import (
    Argnums,
    Derivation,
    Operator,
    Point,
    derive,
    make_point,
    match_leaves,
    scalar_value,
    trace_at,
)
from gradwire.trees import unflatten


def _arguments(given: Any, name: str) -> tuple[Any, ...]:
    """Returns what must be a tuple with one entry for each argument."""
    if not isinstance(given, tuple | list):
        raise TypeError(
            f"`{name}` must be a tuple with one entry for each argument, such as (x,); "
            f"got {type(given).__name__}"
        )
    return tuple(given)


def jvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False
) -> Any:
    """Returns the value and the Jacobian-vector product ``J·t``.

    Args:
        f: The function.
        primals: Its positional arguments; all are differentiated.
        tangents: The direction: the same trees, shapes and dtypes.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.

    Returns:
        ``(value, tangent)``, both shaped like the value; and ``aux`` third.

    Raises:
        TypeError: an argument is an integer, or trees or dtypes differ.
        ValueError: shapes differ.
    """

    def emit(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
        point = make_point(primals, {}, range(len(primals)))
        extra = match_leaves(
            tangents, point.wrt_types, point.wrt_tree, name="tangents", of="primals"
        )
        d = derive("jvp", f, point, extras=lambda types, tree: extra, has_aux=has_aux)
        tangent = unflatten(d.value_tree, d.derivatives)
        return (d.value, tangent, d.aux) if has_aux else (d.value, tangent)

    return Operator("jvp", f, emit)(
        _arguments(primals, "primals"), _arguments(tangents, "tangents")
    )


def vjp(
    f: Callable[..., Any], primals: Sequence[Any], cotangents: Any, *, has_aux: bool = False
) -> Any:
    """Returns the value and the vector-Jacobian product ``uᵀJ`` for each primal.

    Args:
        f: The function.
        primals: Its positional arguments; all are differentiated.
        cotangents: Shaped like the value; or a function that makes that from
            the value.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.

    Returns:
        ``(value, products)``, the products a tuple shaped like ``primals``; and
        ``aux`` third.

    Raises:
        TypeError: an argument is an integer, or trees or dtypes differ.
        ValueError: shapes differ.
    """

    def emit(primals: Sequence[Any], cotangents: Any) -> Any:
        point = make_point(primals, {}, range(len(primals)))
        if callable(cotangents):
            cotangents = cotangents(_value_at(f, point, has_aux))
        d = derive(
            "vjp",
            f,
            point,
            extras=lambda types, tree: match_leaves(
                cotangents, types, tree, name="cotangents", of="value"
            ),
            has_aux=has_aux,
        )
        products = unflatten(point.wrt_tree, d.derivatives)
        return (d.value, products, d.aux) if has_aux else (d.value, products)

    primals = _arguments(primals, "primals")
    if callable(cotangents):
        # A function is no argument of a program: it is traced where it is used.
        return Operator("vjp", f, lambda primals: emit(primals, cotangents))(primals)
    return Operator("vjp", f, emit)(primals, cotangents)


def _value_at(f: Callable[..., Any], point: Point, has_aux: bool) -> Any:
    """Emits the plain call; the compiler shares it with the derivative's own."""
    builder = current_builder()
    traced, num_values = trace_at(builder, f, point, has_aux=has_aux)
    refs = builder.emit(
        "call", [*traced.captures, *(x.ref for x in point.operands)], {}, [traced.index]
    )
    tree = traced.tree.children[0] if has_aux else traced.tree
    return unflatten(tree, [Traced(ref) for ref in refs[:num_values]])


def value_and_grad(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """Makes the function that returns value and gradient of a scalar function.

    Args:
        f: A function with one scalar result.
        argnums: Which positional arguments are differentiated.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.
        holomorphic: Whether ``f`` is a holomorphic function of complex
            arguments with a complex result.

    Returns:
        A function of the same arguments that returns ``(value, gradient)``, the
        gradient shaped like the argument (a tuple for several ``argnums``); with
        ``has_aux`` it returns ``((value, aux), gradient)``.
    """

    def emit(*args: Any, **kwargs: Any) -> Any:
        d, gradient = _gradient(f, args, kwargs, argnums, has_aux, holomorphic)
        return ((d.value, d.aux) if has_aux else d.value), gradient

    return Operator("value_and_grad", f, emit)


def grad(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """Makes the gradient of a scalar function.

    Args:
        f: A function with one scalar result.
        argnums: Which positional arguments are differentiated.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.
        holomorphic: Whether ``f`` is a holomorphic function of complex
            arguments with a complex result.

    Returns:
        A function of the same arguments that returns the gradient, shaped like
        the argument (a tuple for several ``argnums``); with ``has_aux`` a pair
        ``(gradient, aux)``.
    """

    def emit(*args: Any, **kwargs: Any) -> Any:
        d, gradient = _gradient(f, args, kwargs, argnums, has_aux, holomorphic)
        return (gradient, d.aux) if has_aux else gradient

    return Operator("grad", f, emit)


def _gradient(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: Argnums,
    has_aux: bool,
    holomorphic: bool,
) -> tuple[Derivation, Any]:
    point = make_point(args, kwargs, argnums)
    d = derive(
        "grad", f, point, has_aux=has_aux, decide=scalar_value("grad"), holomorphic=holomorphic
    )
    return d, unflatten(point.wrt_tree, d.derivatives)


def hvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False
) -> Any:
    """Returns the value and the Hessian-vector product ``H·t`` of a scalar function.

    Args:
        f: A function with one scalar result.
        primals: Its positional arguments; all are differentiated.
        tangents: The direction: the same trees, shapes and dtypes.
        has_aux: Whether ``f`` returns a pair ``(value, aux)``.

    Returns:
        ``(value, products)``, the products a tuple shaped like ``primals``; and
        ``aux`` third.
    """

    def emit(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
        point = make_point(primals, {}, range(len(primals)))
        extra = match_leaves(
            tangents, point.wrt_types, point.wrt_tree, name="tangents", of="primals"
        )
        d = derive(
            "hvp",
            f,
            point,
            extras=lambda types, tree: extra,
            has_aux=has_aux,
            decide=scalar_value("hvp"),
        )
        products = unflatten(point.wrt_tree, d.derivatives)
        return (d.value, products, d.aux) if has_aux else (d.value, products)

    return Operator("hvp", f, emit)(
        _arguments(primals, "primals"), _arguments(tangents, "tangents")
    )
