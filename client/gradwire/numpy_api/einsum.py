"""`np.einsum`: every way of writing it, brought into the explicit form of the op."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gradwire.numpy_api.registry import implements, refuse_options, strong
from gradwire.numpy_api.shapes import reshape
from gradwire.trace.traced import Traced
from gradwire.trace.values import apply, promote

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@implements("einsum")
def einsum(*operands: Any, out: Any = None, dtype: Any = None, **options: Any) -> Traced:
    """``np.einsum``; ``optimize`` is of no effect, since the op says how it contracts."""
    options = {name: value for name, value in options.items() if name != "optimize"}
    refuse_options("einsum", out=out, dtype=dtype, **options)
    subscripts, arrays = _as_text(operands)
    values = promote([strong(array) for array in arrays])
    terms, result = _explicit(subscripts, [value.ndim for value in values])
    terms, values = _unstretched(terms, values)
    return apply("einsum", *values, subscripts=f"{','.join(terms)}->{result}")


def _as_text(operands: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """Returns subscripts and arrays; integer labels, each after its array, become letters."""
    if isinstance(operands[0], str):
        return operands[0].replace(" ", ""), list(operands[1:])
    *pairs, result = operands if len(operands) % 2 else (*operands, None)
    arrays, labels = pairs[::2], pairs[1::2]

    def text(term: Any) -> str:
        return "".join("..." if label is Ellipsis else _LETTERS[label] for label in term)

    joined = ",".join(map(text, labels))
    return (joined if result is None else f"{joined}->{text(result)}"), arrays


def _explicit(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """Returns the terms and the result, with letters in place of each ellipsis."""
    left, arrow, result = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ValueError(
            f"einsum subscripts must hold one term for each operand; got {len(terms)} terms "
            f"and {len(ndims)} operands"
        )
    free = [letter for letter in _LETTERS if letter not in subscripts]
    widths = [
        ndim - len(term.replace("...", "")) if "..." in term else 0
        for term, ndim in zip(terms, ndims, strict=True)
    ]
    if min(widths) < 0:
        raise ValueError(f"einsum subscripts {subscripts!r} name more axes than an operand has")
    # The axes of an ellipsis broadcast from the right.
    hidden = "".join(free[: max(widths)])[::-1]
    terms = [
        term.replace("...", hidden[len(hidden) - width :])
        for term, width in zip(terms, widths, strict=True)
    ]
    if arrow:
        return terms, result.replace("...", hidden)
    counts = Counter(left.replace("...", "").replace(",", ""))
    return terms, hidden + "".join(sorted(letter for letter, n in counts.items() if n == 1))


def _unstretched(terms: list[str], values: list[Traced]) -> tuple[list[str], list[Traced]]:
    """Drops axes of length 1 that NumPy would stretch: a letter of the op has one length."""
    lengths: dict[str, int] = {}
    for term, value in zip(terms, values, strict=True):
        if len(term) != value.ndim:
            raise ValueError(
                f"einsum term {term!r} must name each axis of its operand; got shape {value.shape}"
            )
        for letter, length in zip(term, value.shape, strict=True):
            if length != 1 or letter not in lengths:
                lengths[letter] = length
    new_terms, new_values = [], []
    for term, value in zip(terms, values, strict=True):
        kept = [
            axis
            for axis, (letter, length) in enumerate(zip(term, value.shape, strict=True))
            if length != 1 or lengths[letter] == 1
        ]
        if len(kept) == value.ndim:
            new_terms.append(term)
            new_values.append(value)
        else:
            new_terms.append("".join(term[axis] for axis in kept))
            new_values.append(reshape(value, tuple(value.shape[axis] for axis in kept)))
    return new_terms, new_values
