"""Choices and loops: each is the primitive of JAX with the right derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradwire.opset.control_flow import divide_operands
from gradwire_server.compiler.lowering.core import JaxFunction, Lowering

Arrays = tuple[jax.Array, ...]
Bound = Callable[..., Arrays]


def bind(arguments: Sequence[Any], captures: tuple[int, ...]) -> tuple[list[Bound], Arrays]:
    """Returns a node's functions with their captured operands bound, and the other operands."""
    functions = [f for f in arguments if isinstance(f, JaxFunction)]
    captured, own = divide_operands(
        arguments[len(functions) :], {"captures": captures}, len(functions)
    )
    return [_bound(f, mine) for f, mine in zip(functions, captured, strict=True)], tuple(own)


def _bound(f: JaxFunction, captured: Sequence[jax.Array]) -> Bound:
    """Returns results whose types are no weaker than the table's, so that a loop may carry them."""

    def run(*arguments: jax.Array) -> Arrays:
        results = f(*captured, *arguments)
        types = f.signature.results
        return tuple(
            lax.convert_element_type(x, t.dtype) for x, t in zip(results, types, strict=True)
        )

    return run


def _cond(*arguments: Any, captures: tuple[int, ...]) -> Arrays:
    (true, false), (predicate, *operands) = bind(arguments, captures)
    results: Arrays = lax.cond(predicate, true, false, *operands)
    return results


def _switch(*arguments: Any, captures: tuple[int, ...]) -> Arrays:
    functions, (index, *operands) = bind(arguments, captures)
    results: Arrays = lax.switch(index, functions, *operands)
    return results


def _while_loop(*arguments: Any, captures: tuple[int, ...], max_iterations: int) -> Arrays:
    (condition, body), start = bind(arguments, captures)
    if not max_iterations:
        ended: Arrays = lax.while_loop(
            lambda state: condition(*state)[0], lambda s: body(*s), start
        )
        return ended

    def run(state: Arrays, _: jax.Array) -> tuple[Arrays, jax.Array]:
        changed = body(*state)
        return changed, condition(*changed)[0]

    def step(carry: tuple[Arrays, jax.Array], _: None) -> tuple[tuple[Arrays, jax.Array], None]:
        return lax.cond(carry[1], run, lambda *ended: ended, *carry), None

    # A reverse sweep keeps the states and runs the body again: the bound is
    # often far above the number of runs.
    first = (start, condition(*start)[0])
    (state, _), _ = lax.scan(
        jax.checkpoint(step, prevent_cse=False), first, None, length=max_iterations
    )
    return state


def _fori_loop(*arguments: Any, captures: tuple[int, ...], lower: int, upper: int) -> Arrays:
    (body,), start = bind(arguments, captures)

    def step(state: Arrays, index: jax.Array) -> tuple[Arrays, None]:
        return body(index, *state), None

    # Indices are counted up from the first, so that none is out of range.
    indices = lower + jnp.arange(max(0, upper - lower), dtype=jnp.int64)
    state, _ = lax.scan(step, start, indices)
    return state


def _scan(
    *arguments: Any, captures: tuple[int, ...], num_carry: int, length: int, reverse: bool
) -> Arrays:
    (body,), own = bind(arguments, captures)

    def step(carry: Arrays, slices: Arrays) -> tuple[Arrays, Arrays]:
        results = body(*carry, *slices)
        return results[:num_carry], results[num_carry:]

    carry, stacks = lax.scan(step, own[:num_carry], own[num_carry:], length=length, reverse=reverse)
    return (*carry, *stacks)


def _map(*arguments: Any, captures: tuple[int, ...], batch_size: int) -> Arrays:
    (f,), operands = bind(arguments, captures)
    results: Arrays = lax.map(lambda row: f(*row), operands, batch_size=batch_size or None)
    return results


def _associative_scan(*arguments: Any, captures: tuple[int, ...], reverse: bool) -> Arrays:
    (combine,), elements = bind(arguments, captures)
    of_stacks = jax.vmap(lambda a, b: combine(*a, *b))
    results: Arrays = lax.associative_scan(of_stacks, elements, reverse=reverse)
    return results


LOWERINGS: dict[str, Lowering] = {
    "associative_scan": _associative_scan,
    "cond": _cond,
    "fori_loop": _fori_loop,
    "map": _map,
    "scan": _scan,
    "switch": _switch,
    "while_loop": _while_loop,
}
