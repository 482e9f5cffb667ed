"""`gw.ops.random`: what keys are made from, and the types of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradwire as gw
from gradwire.errors import InvalidInputError
from tracing import trace, types_of


def types(function: Any, *args: Any) -> list[str]:
    """Returns the types of the results."""
    return types_of(trace(function, *args))


@pytest.mark.parametrize("seed", [3, np.int64(3), np.uint8(3), np.array(3, np.uint32)])
def test_a_seed_is_any_integer(seed: Any) -> None:
    """Known, or an argument of the function."""
    random = gw.ops.random
    assert types(random.key, seed) == ["uint32[2]"]
    assert types(lambda x: random.key(seed), np.zeros(2)) == ["uint32[2]"]


@pytest.mark.parametrize("seed", [1.5, np.array([1, 2]), True])
def test_other_seeds_are_refused(seed: Any) -> None:
    """Fractions, arrays and truth values are none."""
    with pytest.raises(InvalidInputError, match="`seed` must be one integer"):
        types(gw.ops.random.key, seed)


def test_numbers_have_the_type_that_is_asked_for() -> None:
    """Double precision and one number, unless it is said otherwise."""
    random, seed = gw.ops.random, np.int64(3)
    asked = {
        "float64[]": lambda s: random.normal(random.key(s)),
        "float32[2,3]": lambda s: random.normal(random.key(s), dtype="float32", shape=(2, 3)),
        "float64[4]": lambda s: random.uniform(random.key(s), shape=4),
        "uint32[4]": lambda s: random.bits(random.key(s), shape=4),
        "uint32[2,2]": lambda s: random.split(random.key(s)),
        "uint32[5,2]": lambda s: random.split(random.key(s), num=5),
        "bool[3]": lambda s: random.bernoulli(random.key(s), 0.5, shape=3),
        "bool[]": lambda s: random.bernoulli(random.split(random.key(s))[1], 1),
    }
    for wanted, draw in asked.items():
        assert types(draw, seed) == [wanted]
