"""Functions with a derivative of their own, in JAX's conventions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gradwire.evaluate import remote
from gradwire.tensors import TensorType, is_inexact
from gradwire.trace.builder import FunctionBuilder, Trace, active_builder, building
from gradwire.trace.function import TracedFunction, check_leaves, run_on_stand_ins
from gradwire.trace.traced import Traced
from gradwire.trace.values import apply, as_traced, convert, current_builder
from gradwire.trees import LEAF, Tree, flatten, paths, unflatten


class _CustomFunction:
    """A function with a derivative of its own: what both kinds share."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.__wrapped__ = f
        self.__name__ = getattr(f, "__name__", "function")
        self.__doc__ = getattr(f, "__doc__", None)

    def __call__(self, *args: Any) -> Any:
        """Applies the function."""
        if active_builder() is None:
            return remote(self)(*args)
        leaves, tree = flatten(args)
        check_leaves(leaves, "argument")
        operands = [as_traced(leaf) for leaf in leaves]
        traced = self._traced(tuple(x.ref.type for x in operands), tree)
        refs = current_builder().emit("call", [x.ref for x in operands], {}, [traced.index])
        return unflatten(traced.tree, [Traced(ref) for ref in refs])

    def _traced(self, types: tuple[TensorType, ...], tree: Tree) -> TracedFunction:
        """Traces function and rule once for each type; a rule may call its own function."""
        trace = current_builder().trace
        key = (self, types, tree)
        known = trace.custom.get(key)
        if known is None:
            known = trace.custom[key] = trace_closed(trace, self.__wrapped__, types, tree)
            self._add_rule(trace, known, types, tree)
        return known

    def _add_rule(
        self, trace: Trace, traced: TracedFunction, types: tuple[TensorType, ...], tree: Tree
    ) -> None:
        raise NotImplementedError


class CustomJvp(_CustomFunction):
    """A function with a forward-mode rule. See ``custom_jvp``."""

    _rule: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Sets the rule.

        Args:
            rule: Called as ``rule(primals, tangents)`` with two tuples like the
                arguments; the tangent of an integer is None. Returns
                ``(value, tangent)``.

        Returns:
            The rule, so that this is a decorator.
        """
        self._rule = rule
        return rule

    def _add_rule(
        self, trace: Trace, traced: TracedFunction, types: tuple[TensorType, ...], tree: Tree
    ) -> None:
        rule = self._rule
        if rule is None:
            raise TypeError(f"{self.__name__} has no rule yet; set one with `.defjvp`")
        moving = [is_inexact(t.dtype) for t in types]
        tangent_types = tuple(t for t, moves in zip(types, moving, strict=True) if moves)
        value_types = [t for t in traced.results if is_inexact(t.dtype)]

        def flat_rule(*leaves: Traced) -> list[Traced]:
            given = iter(leaves[len(types) :])
            tangents = [next(given) if moves else None for moves in moving]
            value, tangent = rule(unflatten(tree, leaves[: len(types)]), unflatten(tree, tangents))
            return [
                *_like(value, traced.tree, traced.results, "the value of the jvp rule"),
                *_like_moving(tangent, traced, value_types, "the tangent of the jvp rule"),
            ]

        index = trace_closed(trace, flat_rule, (*types, *tangent_types), None).index
        trace.functions[traced.index] = replace(trace.functions[traced.index], custom_jvp=index)


class CustomVjp(_CustomFunction):
    """A function with a reverse-mode rule. See ``custom_vjp``."""

    _forward: Callable[..., Any] | None = None
    _backward: Callable[..., Any] | None = None

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Sets the rule.

        Args:
            forward: Takes the arguments; returns ``(value, residuals)``.
            backward: Called as ``backward(residuals, cotangent)``; returns a
                tuple with one cotangent for each argument; None stands for zero.
        """
        self._forward, self._backward = forward, backward

    def _add_rule(
        self, trace: Trace, traced: TracedFunction, types: tuple[TensorType, ...], tree: Tree
    ) -> None:
        forward, backward = self._forward, self._backward
        if forward is None or backward is None:
            raise TypeError(f"{self.__name__} has no rule yet; set one with `.defvjp`")
        residual_tree = LEAF

        def flat_forward(*leaves: Traced) -> list[Any]:
            nonlocal residual_tree
            value, residuals = forward(*unflatten(tree, leaves))
            kept, residual_tree = flatten(residuals)
            check_leaves(kept, "residual")
            values = _like(value, traced.tree, traced.results, "the value of the forward rule")
            return [*values, *kept]

        first = trace_closed(trace, flat_forward, types, None)
        residual_types = first.results[len(traced.results) :]
        cotangent_types = tuple(t for t in traced.results if is_inexact(t.dtype))

        def flat_backward(*leaves: Traced) -> list[Traced]:
            residuals = unflatten(residual_tree, leaves[: len(residual_types)])
            given = iter(leaves[len(residual_types) :])
            cotangents = [next(given) if is_inexact(t.dtype) else None for t in traced.results]
            answer = backward(residuals, unflatten(traced.tree, cotangents))
            return _argument_cotangents(answer, types, tree)

        second = trace_closed(trace, flat_backward, (*residual_types, *cotangent_types), None)
        trace.functions[traced.index] = replace(
            trace.functions[traced.index], custom_vjp=(first.index, second.index)
        )


def custom_jvp(f: Callable[..., Any]) -> CustomJvp:
    """Gives a function a derivative of its own, for forward mode and all that follows from it.

    Reverse mode transposes the rule, which must therefore be linear in the
    tangents; higher orders differentiate it. It may call ``f`` itself. Neither
    may capture traced values: pass them as arguments.

    Args:
        f: The function, of positional arguments.

    Returns:
        The function; set its rule with ``.defjvp``.
    """
    return CustomJvp(f)


def custom_vjp(f: Callable[..., Any]) -> CustomVjp:
    """Gives a function a derivative of its own, for reverse mode alone.

    Forward mode through it is refused: ``custom_jvp`` serves both. Neither the
    function nor its rule may capture traced values: pass them as arguments.

    Args:
        f: The function, of positional arguments.

    Returns:
        The function; set its rule with ``.defvjp``.
    """
    return CustomVjp(f)


def trace_closed(
    trace: Trace, f: Callable[..., Any], types: tuple[TensorType, ...], tree: Tree | None
) -> TracedFunction:
    """Traces a function that captures nothing.

    Args:
        trace: The program.
        f: Takes the tree's parts as positional arguments, or the leaves.
        types: The types of the leaves.
        tree: The shape of the arguments; None where they are the leaves.

    Raises:
        TraceError: it captures a traced value.
    """
    name = getattr(f, "__name__", "function")
    builder = FunctionBuilder(trace, current_builder(), name, is_closed=True)
    leaves = [Traced(builder.add_param(t), is_param=bool(t.shape)) for t in types]
    args = leaves if tree is None else unflatten(tree, leaves)
    with building(builder):
        results, shape = flatten(run_on_stand_ins(f, tuple(args), {}))
        check_leaves(results, "result")
        refs = [as_traced(leaf).ref for leaf in results]
        index = builder.add_to_program(refs)
    return TracedFunction(index, (), shape, trace.infos[index].signature.results)


def _like(value: Any, tree: Tree, types: Any, what: str) -> list[Traced]:
    """Returns leaves of the tree and types wanted; Python numbers take the dtype."""
    leaves, shape = flatten(value)
    if shape != tree:
        raise TypeError(
            f"{what} must form the tree ({', '.join(paths(tree))}); got ({', '.join(paths(shape))})"
        )
    return [_of_type(x, t, what) for x, t in zip(leaves, types, strict=True)]


def _like_moving(tangent: Any, traced: TracedFunction, types: Any, what: str) -> list[Traced]:
    """The same for the leaves that have derivatives; None may stand for the others."""
    pairs = zip(_pad(tangent, traced.tree), traced.results, strict=True)
    moving = [leaf for leaf, t in pairs if is_inexact(t.dtype)]
    return [_of_type(x, t, what) for x, t in zip(moving, types, strict=True)]


def _pad(tree: Any, shape: Tree) -> list[Any]:
    """Returns one leaf for each of the shape's; None fills a place or a whole branch."""
    if tree is None:
        return [None] * shape.num_leaves
    if shape.node is None:
        return [tree]
    _, got = flatten(tree)
    if got.node is not shape.node or got.keys != shape.keys:
        raise TypeError(
            f"expected the tree ({', '.join(paths(shape))}); got ({', '.join(paths(got))})"
        )
    parts = (
        [tree[key] for key in shape.keys]
        if isinstance(tree, dict)
        else list(tree)
        if isinstance(tree, list | tuple)
        else [getattr(tree, key) for key in shape.keys]
    )
    return [
        leaf
        for part, child in zip(parts, shape.children, strict=True)
        for leaf in _pad(part, child)
    ]


def _argument_cotangents(answer: Any, types: Any, tree: Tree) -> list[Traced]:
    if not isinstance(answer, tuple | list) or len(answer) != len(tree.children):
        example = "(x,)" if len(tree.children) == 1 else "(x, y, ...)"
        raise TypeError(
            f"the backward rule must return a tuple of {len(tree.children)} cotangents, one for "
            f"each argument, as in `return {example}`; got {type(answer).__name__}"
        )
    leaves = _pad(tuple(answer), tree)
    return [
        _of_type(leaf, t, "the cotangent of the backward rule")
        for leaf, t in zip(leaves, types, strict=True)
        if is_inexact(t.dtype)
    ]


def _of_type(value: Any, wanted: TensorType, what: str) -> Traced:
    if value is None:
        zero = convert(0.0, wanted.dtype)
        return apply("broadcast_to", zero, shape=wanted.shape)
    traced = convert(value, wanted.dtype) if np.ndim(value) == 0 else as_traced(value)
    if traced.ref.type != wanted:
        raise TypeError(f"{what} must be {wanted}; got {traced.ref.type}")
    return traced
