"""Containers are taken apart into leaves and put together as they were."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from gradwire.trees import argument_names, flatten, paths, tree_map, unflatten


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass
class Checked:
    weight: Any
    bias: Any

    def __post_init__(self) -> None:
        assert self.bias is not None


TREES: dict[str, tuple[Any, list[Any], list[str]]] = {
    "leaf": (1, [1], [""]),
    "nothing": (None, [], []),
    "list": ([1, 2], [1, 2], ["[0]", "[1]"]),
    "tuple": ((1, (), 2), [1, 2], ["[0]", "[2]"]),
    "dict": ({"b": 1, "a": 2}, [2, 1], ["['a']", "['b']"]),
    "dict of two kinds of keys": ({"a": 1, 0: 2}, [2, 1], ["[0]", "['a']"]),
    "ordered": (OrderedDict(a=1, b=2), [1, 2], ["['a']", "['b']"]),
    "named tuple": (Pair(1, [2]), [1, 2], [".first", ".second[0]"]),
    "dataclass": (Checked({"w": 1}, 2), [1, 2], [".weight['w']", ".bias"]),
    "nested": ([{"x": Pair(None, (1,))}, 2], [1, 2], ["[0]['x'].second[0]", "[1]"]),
}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_comes_back_as_it_was(name: str) -> None:
    """Every kind of container, with its leaves in order and the words for their places."""
    tree, leaves, words = TREES[name]
    found, shape = flatten(tree)
    assert found == leaves
    assert list(paths(shape)) == words
    assert shape.num_leaves == len(leaves)
    back = unflatten(shape, found)
    assert (type(back), back) == (type(tree), tree)


def test_equal_dicts_have_one_shape() -> None:
    """In whatever order their keys were written; so they give one program."""
    assert flatten({"a": 1, "b": 2}) == flatten({"b": 2, "a": 1})
    assert flatten([1])[1] != flatten((1,))[1]


def test_a_dataclass_is_made_without_its_checks() -> None:
    """Its fields may hold what it wouldn't take itself while a function is traced."""
    assert tree_map(lambda x: None, Checked(1, 2)).bias is None


def test_the_number_of_leaves_is_that_of_the_shape() -> None:
    """More and fewer are errors, also of two trees that are mapped together."""
    _, shape = flatten([1, 2])
    with pytest.raises(AssertionError, match="more leaves"):
        unflatten(shape, [1, 2, 3])
    with pytest.raises(StopIteration):
        unflatten(shape, [1])
    with pytest.raises(ValueError, match="shorter"):
        tree_map(lambda x, y: x, [1, 2], [1])


def test_arguments_are_named_as_they_are_written() -> None:
    """By position, or by name."""
    _, shape = flatten(((1, {"w": 2}), {"key": [3]}))
    assert argument_names(shape) == ["argument 0", "argument 1['w']", "argument['key'][0]"]
