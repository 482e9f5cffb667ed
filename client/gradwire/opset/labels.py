"""Ops as sums over labelled axes: what their labels say of batches, and `einsum`'s own."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from gradwire.opset.core import MIXED, Axes, BatchRule, Call, fail, require
from gradwire.opset.rules import checked
from gradwire.tensors import Dtype

Label = Hashable
Labelled = tuple[tuple[Label, ...], ...]


def leading(ndim: int) -> tuple[int, ...]:
    """Returns labels of axes that broadcast from the right: -1 is the last of them."""
    return tuple(range(-ndim, 0))


def labelled_batch(labels: Callable[[Call], tuple[Labelled, Labelled]]) -> BatchRule:
    """Makes a batch rule from labels of the operands' and the outputs' axes.

    Two axes have the same label only where entry b of one meets entry b of the
    other, or an axis of length 1 is stretched. So if every batched operand has
    its batch axis under one label, entry b of an output's axis of that label
    reads only entry b of them. A label that the op sums over or works along is
    not among the outputs'.
    """

    def batch(call: Call, axes: Axes) -> Axes:
        operands, outputs = labels(call)
        found = {of[a] for of, a in zip(operands, axes, strict=True) if a is not None}
        if len(found) != 1:
            return [MIXED] * len(outputs)
        (label,) = found
        lengths = {
            x.shape[axis]
            for x, of, batched in zip(call.inputs, operands, axes, strict=True)
            for axis, other in enumerate(of)
            if other == label and (batched is not None or x.shape[axis] != 1)
        }
        if len(lengths) != 1:  # a batch axis of length 1 is stretched
            return [MIXED] * len(outputs)
        return [of.index(label) if label in of else MIXED for of in outputs]

    return batch


@dataclass(frozen=True, slots=True)
class Contraction:
    """One step of an `einsum`: operands that are replaced by their contraction.

    Attributes:
        operands: Positions among the arrays left; the result comes last.
        subscripts: The step as an `einsum` of its own.
        labels: The labels of the result.
    """

    operands: tuple[int, ...]
    subscripts: str
    labels: str


def parse_subscripts(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """Returns the labels of the operands and of the result.

    Raises:
        InvalidProgramError: unless the form is ``ij,jk->ik``: letters for all
            axes, and each letter of the result once and among the operands'.
    """
    left, arrow, out = subscripts.partition("->")
    terms = left.split(",")
    letters = "".join(terms) + out
    require(
        arrow and all(letter.isascii() and letter.isalpha() for letter in letters),
        lambda: f"`subscripts` must read like `ij,jk->ik`; got {subscripts[:200]!r}",
    )
    require(
        [len(term) for term in terms] == list(ndims),
        lambda: (
            f"`subscripts` must hold one letter for each axis of the inputs, "
            f"{'+'.join(map(str, ndims))}; got {subscripts[:200]!r}"
        ),
    )
    require(
        len(set(out)) == len(out) and set(out) <= set("".join(terms)),
        lambda: (
            f"`subscripts` must hold each letter of the result once, and on its left; "
            f"got {subscripts[:200]!r}"
        ),
    )
    return terms, out


def label_lengths(terms: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    """Returns the length of each label; raises if a label has two."""
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, length in zip(term, shape, strict=True):
            if lengths.setdefault(label, length) != length:
                raise fail(
                    f"`subscripts` must give each letter one length; "
                    f"got {lengths[label]} and {length} for {label!r}"
                )
    return lengths


def contraction_path(
    terms: Sequence[str], out: str, dtype: Dtype, lengths: dict[str, int]
) -> list[Contraction]:
    """Returns the pairwise steps of an `einsum`, the smallest result first.

    The path is part of the op, so that its largest intermediate is known
    before anything runs.

    Raises:
        InvalidProgramError: an intermediate would be too large.
    """
    left = list(terms)
    if len(left) == 1:
        return [Contraction((0,), f"{left[0]}->{out}", out)]
    steps: list[Contraction] = []
    while len(left) > 1:
        pairs = [(i, j) for j in range(len(left)) for i in range(j)]
        kept = {pair: _kept_labels(left, pair, out) for pair in pairs}
        sizes = {pair: math.prod(lengths[label] for label in kept[pair]) for pair in pairs}
        i, j = min(pairs, key=lambda pair: (sizes[pair], pair))
        labels = kept[i, j] if len(left) > 2 else out
        checked(dtype, [lengths[label] for label in labels])
        steps.append(Contraction((i, j), f"{left[i]},{left[j]}->{labels}", labels))
        left = [term for place, term in enumerate(left) if place not in (i, j)] + [labels]
    return steps


def _kept_labels(left: Sequence[str], pair: tuple[int, int], out: str) -> str:
    others = "".join(term for place, term in enumerate(left) if place not in pair) + out
    both = dict.fromkeys(left[pair[0]] + left[pair[1]])
    return "".join(label for label in both if label in others)
