"""What all operators share: the point, the function traced there, the node, the result."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradwire.evaluate import remote
from gradwire.tensors import TensorType, is_inexact
from gradwire.trace.builder import FunctionBuilder, active_builder
from gradwire.trace.function import TracedFunction, check_leaves, trace_function
from gradwire.trace.lines import caller_line
from gradwire.trace.program import TracedProgram, trace_program
from gradwire.trace.traced import Traced
from gradwire.trace.values import as_operand, as_traced, convert, current_builder
from gradwire.trees import Tree, argument_names, flatten, paths, unflatten

Argnums = int | Sequence[int]


class Operator:
    """A derivative of a function: a node inside a traced function, a call outside.

    Args:
        name: The operator's name.
        function: What is differentiated.
        emit: Adds the operator's nodes to the function that is being traced;
            called like the operator.
        emit_top_level: The same where the operator is the whole program.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        emit: Callable[..., Any],
        emit_top_level: Callable[..., Any] | None = None,
    ) -> None:
        self.__wrapped__ = function
        self.__name__ = f"{name}({getattr(function, '__name__', 'function')})"
        self._emit = emit
        self._emit_top_level = emit_top_level or emit

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Takes the derivative: in a call of the server, or in the function being traced."""
        if active_builder() is not None:
            return self._emit(*args, **kwargs)
        return remote(self)(*args, **kwargs)

    def trace_top_level(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any
    ) -> TracedProgram:
        """Traces the operator as a whole program."""
        return trace_program(self._emit_top_level, args, kwargs, **options)


@dataclass(frozen=True)
class Point:
    """The arguments at which a derivative is taken.

    Attributes:
        operands: The value of each leaf.
        tree: The shape of ``(args, kwargs)``.
        wrt: The leaves that are differentiated.
        wrt_tree: Their shape: one argument's, or a tuple of several arguments'.
        names: How each leaf is called in messages.
    """

    operands: list[Traced]
    tree: Tree
    wrt: tuple[int, ...]
    wrt_tree: Tree
    names: list[str]

    @property
    def types(self) -> list[TensorType]:
        """The type of each leaf."""
        return [operand.ref.type for operand in self.operands]

    @property
    def wrt_types(self) -> list[TensorType]:
        """The types of the leaves that are differentiated."""
        return [self.types[place] for place in self.wrt]


def make_point(args: Sequence[Any], kwargs: dict[str, Any], argnums: Argnums) -> Point:
    """Returns the point for a call's arguments.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments; never differentiated.
        argnums: Which positional arguments are.

    Raises:
        TypeError: no such argument, or one twice, or an integer leaf under ``argnums``.
    """
    leaves, tree = flatten((tuple(args), kwargs))
    check_leaves(leaves, "argument")
    operands = [as_traced(leaf) for leaf in leaves]
    trees = tree.children[0].children
    is_one = isinstance(argnums, int | np.integer)
    numbers = _positions((argnums,) if is_one else argnums, len(args), argnums)
    starts = np.cumsum([0, *(t.num_leaves for t in trees)]).tolist()
    wrt = tuple(p for n in numbers for p in range(starts[n], starts[n + 1]))
    picked = [trees[number] for number in numbers]
    wrt_tree = picked[0] if is_one else Tree(tuple, tuple(range(len(picked))), tuple(picked))
    names = argument_names(tree)
    for place in wrt:
        if not is_inexact(operands[place].dtype):
            raise TypeError(
                f"`{names[place]}` must be floating or complex to be differentiated; got "
                f"{operands[place].dtype.name}. Leave it out of `argnums`, or convert it"
            )
    return Point(operands, tree, wrt, wrt_tree, names)


def _positions(many: Any, count: int, argnums: Any) -> tuple[int, ...]:
    """Returns which of ``count`` arguments are meant, none of them from the end."""
    try:
        numbers = [operator.index(number) for number in many]
    except TypeError:
        raise TypeError(
            f"`argnums` must be an integer or a tuple of integers; got {argnums!r}"
        ) from None
    for number in numbers:
        if not -count <= number < count:
            raise TypeError(
                f"`argnums` must name one of the {count} positional arguments; got {number}"
            )
    positions = tuple(number % count for number in numbers)
    if len(set(positions)) < len(positions):
        raise TypeError(f"`argnums` must name each argument once; got {argnums!r}")
    return positions


@dataclass(frozen=True)
class Derivation:
    """The outcome of one derivative node.

    Attributes:
        values: The leaves of the function's value.
        value_tree: Its shape.
        derivatives: The leaves of the derivative, result by result.
        aux: What the function returned beside its value; None without.
        traced: The function.
    """

    values: list[Traced]
    value_tree: Tree
    derivatives: list[Traced]
    aux: Any
    traced: TracedFunction

    @property
    def value(self) -> Any:
        """The function's value."""
        return unflatten(self.value_tree, self.values)

    def per_result(self, inner: Tree) -> Any:
        """Returns the derivatives as the value's tree of ``inner`` trees."""
        count = inner.num_leaves
        rows = [
            unflatten(inner, self.derivatives[start : start + count])
            for start in range(0, count * len(self.values), count)
        ]
        return unflatten(self.value_tree, rows)


def trace_at(
    builder: FunctionBuilder, f: Callable[..., Any], point: Point, *, has_aux: bool
) -> tuple[TracedFunction, int]:
    """Traces a function at a point; returns it and its number of value leaves.

    Raises:
        TypeError: ``has_aux`` and the function returns no pair.
    """
    traced = trace_function(builder, f, point.operands, point.types, point.tree)
    if not has_aux:
        return traced, len(traced.results)
    if traced.tree.node is not tuple or len(traced.tree.children) != 2:
        raise TypeError("with `has_aux` the function must return a pair (value, aux)")
    return traced, traced.tree.children[0].num_leaves


def derive(
    op: str,
    f: Callable[..., Any],
    point: Point,
    *,
    extras: Callable[[Sequence[TensorType], Tree], Sequence[Traced]] = lambda types, tree: (),
    has_aux: bool = False,
    decide: Callable[[TracedFunction, int], dict[str, Any]] = lambda traced, num_values: {},
    **attrs: Any,
) -> Derivation:
    """Adds a derivative node for ``f`` at a point.

    Args:
        op: The operator's name on the wire.
        f: The function.
        point: Its arguments.
        extras: Gives the tangents, cotangents, seeds or probes for the types and
            the tree of the function's value.
        has_aux: Whether ``f`` returns a pair of its value and something else.
        decide: Looks at the traced function and its number of value leaves before
            the node is added; refuses it, or returns further attributes.
        **attrs: The operator's own attributes.
    """
    builder = current_builder()
    traced, num_values = trace_at(builder, f, point, has_aux=has_aux)
    attrs |= decide(traced, num_values)
    value_tree = traced.tree.children[0] if has_aux else traced.tree
    more = extras(traced.results[:num_values], value_tree)
    num_aux = len(traced.results) - num_values
    refs = builder.emit(
        op,
        [*traced.captures, *(x.ref for x in point.operands), *(x.ref for x in more)],
        {"num_captures": len(traced.captures), "wrt": point.wrt, "num_aux": num_aux, **attrs},
        [traced.index],
    )
    outputs = [Traced(ref) for ref in refs]
    end = len(outputs) - num_aux
    return Derivation(
        outputs[:num_values],
        value_tree,
        outputs[num_values:end],
        unflatten(traced.tree.children[1], outputs[end:]) if has_aux else None,
        traced,
    )


def match_leaves(
    given: Any, types: Sequence[TensorType], tree: Tree, *, name: str, of: str
) -> list[Traced]:
    """Returns the leaves of tangents or cotangents, checked against what they belong to.

    Raises:
        TypeError: another tree, or another dtype.
        ValueError: another shape.
    """
    leaves, shape = flatten(given)
    if shape != tree:
        raise TypeError(
            f"`{name}` must form the same tree as `{of}`; got ({', '.join(paths(shape))}) and "
            f"({', '.join(paths(tree))}) (at {caller_line()})"
        )
    matched = []
    for leaf, wanted, path in zip(leaves, types, paths(tree), strict=True):
        operand = as_operand(leaf)
        if np.shape(operand) != wanted.shape:
            raise ValueError(
                f"`{name}{path}` must match `{of}{path}` in shape; "
                f"got {np.shape(operand)} and {wanted.shape}"
            )
        weak = type(operand) in (bool, int, float, complex)
        traced = convert(operand, wanted.dtype) if weak else as_traced(operand)
        if traced.dtype != wanted.dtype:
            raise TypeError(
                f"`{name}{path}` must match `{of}{path}` in dtype; "
                f"got {traced.dtype.name} and {wanted.dtype.name}"
            )
        matched.append(traced)
    return matched


def scalar_value(op: str) -> Callable[[TracedFunction, int], dict[str, Any]]:
    """Makes the check of an operator on functions with one scalar value."""

    def check(traced: TracedFunction, num_values: int) -> dict[str, Any]:
        shapes = [t.shape for t in traced.results[:num_values]]
        if shapes != [()]:
            raise TypeError(
                f"gw.{op} needs a function with one scalar result; got shapes {shapes}. "
                "Write gw.jacobian for more"
            )
        return {}

    return check


def square_value(
    op: str, point: Point, for_scalars: str
) -> Callable[[TracedFunction, int], dict[str, Any]]:
    """Makes the check of an operator on functions whose value is like their argument.

    Args:
        op: The operator's name.
        point: The argument.
        for_scalars: What to write for a function with one scalar result.
    """

    def check(traced: TracedFunction, num_values: int) -> dict[str, Any]:
        results, wanted = list(traced.results[:num_values]), point.wrt_types
        if results != wanted:
            is_scalar = [(t.shape, t.dtype.kind) for t in results] == [((), "f")]
            raise TypeError(
                f"gw.{op} needs a function whose result has the shapes and dtypes of its argument; "
                f"got ({', '.join(map(str, results))}) for ({', '.join(map(str, wanted))})"
                + (f". For a scalar function write {for_scalars}" if is_scalar else "")
            )
        return {}

    return check


__all__ = [
    "Argnums",
    "Derivation",
    "Operator",
    "Point",
    "derive",
    "make_point",
    "match_leaves",
    "scalar_value",
    "square_value",
    "trace_at",
]
