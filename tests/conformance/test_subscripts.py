"""Subscripts of every form against NumPy: what they select, and which proofs they allow."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pytest

from conformance.cases_index import numpy_key
from gradwire.errors import InvalidProgramError
from gradwire.opset.core import At, ByArray, Index, NewAxis, Range
from gradwire.opset.subscripts import select
from gradwire.tensors import Array, TensorType, type_of
from gradwire_server.compiler.lowering import LOWERINGS
from programs import integers, vector

Item = At | Range | NewAxis | ByArray


def _random_range(rng: np.random.Generator) -> Range:
    def bound() -> int | None:
        return None if rng.random() < 0.4 else int(rng.integers(-6, 7))

    step = [None, 1, 2, -1, -2, 3][rng.integers(6)]
    return Range(bound(), bound(), step)


def _random_subscript(rng: np.random.Generator) -> tuple[Array, Index, list[Array]]:
    shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 5)))
    items: list[Item] = []
    for length in shape[: rng.integers(0, len(shape) + 1)]:
        if rng.random() < 0.2:
            items.append(NewAxis())
        items.append(
            [At(int(rng.integers(-length, length))), _random_range(rng), ByArray()][rng.integers(3)]
        )
    x = np.arange(np.prod(shape)).reshape(shape)
    broadcast = [(3,), (2, 1), (), (1, 3), (1,)]
    arrays = [
        rng.integers(-9, 9, broadcast[rng.integers(5)])
        for item in items
        if isinstance(item, ByArray)
    ]
    return x, tuple(items), arrays


@pytest.mark.parametrize("seed", range(4))
def test_random_subscripts_select_what_numpy_selects(seed: int) -> None:
    """Shape by the table's rule, values by the lowering, for all forms of items mixed."""
    rng = np.random.default_rng(seed)
    forms = set()
    for _ in range(40):
        x, index, arrays = _random_subscript(rng)
        want = x[numpy_key(index, x.shape, arrays)]
        forms |= {type(item) for item in index}
        assert select(type_of(x), index, list(map(type_of, arrays))).shape == want.shape, index
        got = LOWERINGS["getitem"](jnp.asarray(x), *map(jnp.asarray, arrays), index=index)
        np.testing.assert_array_equal(got, want, repr(index))
    assert forms == {At, Range, NewAxis, ByArray}


@pytest.mark.parametrize("seed", range(4))
def test_an_axis_taken_whole_stands_where_the_selection_says(seed: int) -> None:
    """Entry b of such an axis holds elements of entry b alone, for every b."""
    rng = np.random.default_rng(seed + 100)
    found = 0
    for _ in range(200):
        x, index, arrays = _random_subscript(rng)
        selection = select(type_of(x), index, list(map(type_of, arrays)))
        picked = x[numpy_key(index, x.shape, arrays)]
        for axis, place in selection.whole.items():
            found += 1
            entries = np.moveaxis(np.indices(x.shape)[axis].ravel()[picked], place, 0)
            assert len(entries) == x.shape[axis]
            for b, entry in enumerate(entries):
                assert (entry == b).all(), (x.shape, index, axis, place)
    assert found > 100


X, EMPTY = vector(3, 4), vector(0, 4)


REFUSED: list[tuple[TensorType, Index, Sequence[TensorType], str]] = [
    (X, (At(3),), [], r"item 0 of `index` must be from -3 to 2 .* got 3"),
    (X, (Range(None, None, None), At(-5)), [], "item 1 of `index` must be from -4 to 3"),
    (X, (NewAxis(), At(0), At(0), At(0)), [], "at most 2 items .* got 3"),
    (X, (Range(None, None, 0),), [], "step 0"),
    (X, (ByArray(),), [], "one array for each of the index's 1; got 0"),
    (X, (At(0),), [integers(2)], "one array for each of the index's 0; got 1"),
    (X, (ByArray(),), [vector(2, dtype="float64")], "must be integer; got float64"),
    (X, (ByArray(),), [vector(3, dtype="bool")], "must be integer; got bool"),
    (
        X,
        (ByArray(), ByArray()),
        [integers(2), integers(3)],
        "must broadcast",
    ),
    (EMPTY, (ByArray(),), [integers(2)], "empty axis"),
    (EMPTY, (At(0),), [], "item 0 of `index`"),
]


@pytest.mark.parametrize(("x", "index", "arrays", "message"), REFUSED)
def test_a_subscript_that_cannot_select_is_refused(
    x: TensorType, index: Index, arrays: Sequence[TensorType], message: str
) -> None:
    """With the item or the array at fault, before anything is compiled."""
    with pytest.raises(InvalidProgramError, match=message):
        select(x, index, arrays)
