"""Type rules of control ops, and how often they run their functions. Needs NumPy only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gradwire.opset.control_flow import divide_operands
from gradwire.opset.core import BOOL, INT32, INT64, Call, Runs, Signature, require
from gradwire.opset.rules import check_dtype, checked
from gradwire.opset.samples import sample_type, shared_length
from gradwire.tensors import TensorType

Types = Sequence[TensorType]

PREDICATE = TensorType(BOOL, ())
INDEX = TensorType(INT64, ())
CHOICE = TensorType(INT32, ())


def divide(call: Call) -> tuple[list[list[TensorType]], list[TensorType]]:
    """Returns the captured types of each function, and those of the op's own operands."""
    counts, most = call.attrs["captures"], len(call.inputs)
    require(
        not counts
        or (len(counts) == len(call.functions) and min(counts) >= 0 and sum(counts) <= most),
        lambda: (
            f"`captures` must hold a number for each of {len(call.functions)} functions, "
            f"together at most {most}; got {counts}"
        ),
    )
    return divide_operands(call.inputs, call.attrs, len(call.functions))


def _check_takes(call: Call, index: int, params: Types) -> Signature:
    """Raises unless the function takes exactly these; returns its signature."""
    signature = call.functions[index]
    require(
        signature.params == tuple(params),
        lambda: (
            f"function {index} of the node must take {_listed(params)}, captures first; "
            f"got {_listed(signature.params)}"
        ),
    )
    return signature


def _check_returns(call: Call, index: int, results: Types) -> None:
    require(
        call.functions[index].results == tuple(results),
        lambda: (
            f"function {index} of the node must return {_listed(results)}; "
            f"got {_listed(call.functions[index].results)}"
        ),
    )


def _check_first(own: Types, wanted: TensorType, what: str) -> Types:
    """Raises unless the first of an op's own operands is of that type; returns the others."""
    require(
        own and own[0] == wanted,
        lambda: f"{what} must be the first operand after captures, {wanted}; got {_listed(own)}",
    )
    return own[1:]


def _check_least(call: Call, name: str, least: int) -> int:
    value: int = call.attrs[name]
    require(value >= least, lambda: f"`{name}` must be {least} or more; got {value}")
    return value


def _listed(types: Types) -> str:
    shown = ", ".join(map(str, types[:8]))
    return f"({shown}{', ...' if len(types) > 8 else ''})"


# --- branches ------------------------------------------------------------------------


def infer_cond(call: Call) -> Types:
    """Returns the results that both functions have."""
    return _infer_branches(call, PREDICATE, "the predicate")


def infer_switch(call: Call) -> Types:
    """Returns the results that all functions have."""
    return _infer_branches(call, CHOICE, "the index")


def _infer_branches(call: Call, chooser: TensorType, what: str) -> Types:
    captured, own = divide(call)
    operands = _check_first(own, chooser, what)
    results = call.functions[0].results
    for index, mine in enumerate(captured):
        _check_takes(call, index, [*mine, *operands])
        _check_returns(call, index, results)
    return results


# --- loops ---------------------------------------------------------------------------


def infer_while(call: Call) -> Types:
    """Returns the state."""
    (of_condition, of_body), state = divide(call)
    _check_least(call, "max_iterations", 0)
    _check_takes(call, 0, [*of_condition, *state])
    _check_returns(call, 0, [PREDICATE])
    _check_takes(call, 1, [*of_body, *state])
    _check_returns(call, 1, state)
    return state


def while_runs(call: Call) -> Runs:
    """A reverse sweep keeps each state, and runs the body again."""
    bound = call.attrs["max_iterations"]
    return Runs(bound, bound, recomputed=True)


def while_irreversible(call: Call) -> str | None:
    """Returns what a loop without bound lacks."""
    if call.attrs["max_iterations"]:
        return None
    return (
        "reverse mode needs to know how often the loop can run; got `max_iterations` 0, "
        "no bound: give `max_iterations`, or differentiate in forward mode"
    )


def infer_fori(call: Call) -> Types:
    """Returns the state."""
    (captured,), state = divide(call)
    _check_takes(call, 0, [*captured, INDEX, *state])
    _check_returns(call, 0, state)
    return state


def fori_runs(call: Call) -> Runs:
    """One run for each index."""
    trips = max(0, call.attrs["upper"] - call.attrs["lower"])
    return Runs(trips, trips)


def infer_scan(call: Call) -> Types:
    """Returns the carry, and the stacked rest of the results."""
    (captured,), own = divide(call)
    num_carry, length = call.attrs["num_carry"], _check_least(call, "length", 0)
    require(
        0 <= num_carry <= len(own),
        lambda: f"`num_carry` must be from 0 to {len(own)}; got {num_carry}",
    )
    carry, sequences = own[:num_carry], own[num_carry:]
    for position, sequence in enumerate(sequences):
        require(
            sequence.shape[:1] == (length,),
            lambda p=position, s=sequence: (  # type: ignore[misc]
                f"sequence {p} must have `length` on axis 0; got {s} and {length}"
            ),
        )
    body = _check_takes(call, 0, [*captured, *carry, *map(sample_type, sequences)])
    require(
        body.results[:num_carry] == tuple(carry),
        lambda: (
            f"the body must return the carry first, {_listed(carry)}; got {_listed(body.results)}"
        ),
    )
    return [*carry, *_stacked(body.results[num_carry:], length)]


def scan_runs(call: Call) -> Runs:
    """One run for each step."""
    return Runs(call.attrs["length"], call.attrs["length"])


def infer_map(call: Call) -> Types:
    """Returns the stacked results."""
    (captured,), own = divide(call)
    _check_least(call, "batch_size", 0)
    require(own, lambda: "there must be an operand to map over; got none")
    length = shared_length(own)
    return _stacked(_check_takes(call, 0, [*captured, *map(sample_type, own)]).results, length)


def map_runs(call: Call) -> Runs:
    """One run for each batch of rows."""
    _, own = divide(call)
    trips = -(-own[0].shape[0] // max(1, call.attrs["batch_size"]))
    return Runs(trips, trips)


def map_copies(call: Call) -> int:
    """Returns one copy for each row that is computed at once."""
    _, own = divide(call)
    batch: int = call.attrs["batch_size"]
    return max(1, min(batch, own[0].shape[0]))


def _stacked(results: Types, length: int) -> Types:
    return [checked(result.dtype, (length, *result.shape)) for result in results]


def infer_associative_scan(call: Call) -> Types:
    """Returns the types of the elements."""
    (captured,), own = divide(call)
    require(own, lambda: "there must be an operand to scan; got none")
    shared_length(own)
    elements = [sample_type(operand) for operand in own]
    _check_takes(call, 0, [*captured, *elements, *elements])
    _check_returns(call, 0, elements)
    return own


def associative_runs(call: Call) -> Runs:
    """Going up and down a binary tree, the function is written out twice for each level."""
    return Runs(unrolled=2 * max(1, (associative_copies(call) - 1).bit_length()))


def associative_copies(call: Call) -> int:
    """Returns one copy for each element."""
    _, own = divide(call)
    return max(1, own[0].shape[0])


# --- implicit functions --------------------------------------------------------------


def infer_linear_solve(call: Call) -> Types:
    """Returns the solution, of the types of the right side."""
    captured, side = divide(call)
    require(side, lambda: "there must be a right side after captures; got none")
    for index, mine in enumerate(captured):
        _check_takes(call, index, [*mine, *side])
        _check_returns(call, index, side)
    for operand in side:
        check_dtype(operand.dtype, "inexact", "the right side")
    return side


def linear_irreversible(call: Call) -> str | None:
    """Returns what is needed to solve the transposed system."""
    if call.attrs["symmetric"] or len(call.functions) == 3:
        return None
    return (
        "reverse mode solves the transposed system; got neither `symmetric` nor a third "
        "function that solves it: add one, or differentiate in forward mode"
    )


def infer_implicit(call: Call) -> Types:
    """Returns the solution, of the types of the first guess."""
    (captured,), guess = divide(call)
    _check_least(call, "max_iterations", 1)
    tolerance = call.attrs["tolerance"]
    require(
        math.isfinite(tolerance) and tolerance >= 0,
        lambda: f"`tolerance` must be finite and 0 or more; got {tolerance}",
    )
    _check_takes(call, 0, [*captured, *guess])
    _check_returns(call, 0, guess)
    require(
        guess and len({leaf.dtype for leaf in guess}) == 1,
        lambda: f"the first guess must be arrays of one dtype; got {_listed(guess)}",
    )
    check_dtype(guess[0].dtype, "floating32", "the first guess")
    _matrix(guess)
    return guess


def _matrix(guess: Types) -> TensorType:
    """Returns the type of the Jacobian that is solved with."""
    size = sum(leaf.size for leaf in guess)
    return checked(np.dtype(guess[0].dtype), (size, size))


def implicit_runs(call: Call) -> Runs:
    """Derivatives don't go through the iteration."""
    return Runs(call.attrs["max_iterations"], recomputed=True)


def implicit_copies(call: Call) -> int:
    """Returns one copy for each column of the Jacobian."""
    _, guess = divide(call)
    return max(1, sum(leaf.size for leaf in guess))
