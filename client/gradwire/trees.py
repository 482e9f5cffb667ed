"""Nested containers of arrays: taken apart into leaves, and put together again.

Dicts, lists, tuples, named tuples, dataclasses and None, in each other to any
depth; everything else is a leaf. It must not import NumPy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tree:
    """The shape of a nested container, without its leaves.

    Attributes:
        node: What the container is; None for a leaf.
        keys: How each child is reached, as written after a variable's name.
        children: The shapes of the children.
    """

    node: type | None
    keys: tuple[Any, ...] = ()
    children: tuple[Tree, ...] = ()

    @property
    def num_leaves(self) -> int:
        """The number of leaves."""
        if self.node is None:
            return 1
        return sum(child.num_leaves for child in self.children)


LEAF = Tree(None)


def flatten(tree: Any) -> tuple[list[Any], Tree]:
    """Returns the leaves, in order, and the shape. Dict keys are sorted."""
    leaves: list[Any] = []
    return leaves, _take_apart(tree, leaves)


def unflatten(shape: Tree, leaves: Sequence[Any]) -> Any:
    """Puts leaves into a shape that holds as many."""
    rest = iter(leaves)
    tree = _put_together(shape, rest)
    assert next(rest, None) is None, "more leaves than the tree holds"
    return tree


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Applies a function to corresponding leaves of trees of one shape."""
    leaves, shape = flatten(tree)
    rows = [leaves, *(flatten(other)[0] for other in others)]
    return unflatten(shape, [function(*row) for row in zip(*rows, strict=True)])


def paths(shape: Tree, prefix: str = "") -> Iterator[str]:
    """Yields where each leaf stands, as one would write it: ``['w'][0].bias``."""
    if shape.node is None:
        yield prefix
        return
    attribute = not issubclass(shape.node, dict | list | tuple) or hasattr(shape.node, "_fields")
    for key, child in zip(shape.keys, shape.children, strict=True):
        step = f".{key}" if attribute else f"[{key!r}]"
        yield from paths(child, prefix + step)


def argument_names(shape: Tree) -> list[str]:
    """Returns how each leaf of ``(args, kwargs)`` is called in messages."""
    positional, named = shape.children
    return [
        f"argument {number}{path}"
        for number, child in enumerate(positional.children)
        for path in paths(child)
    ] + [f"argument{path}" for path in paths(named)]


def _take_apart(tree: Any, leaves: list[Any]) -> Tree:
    kind = type(tree)
    if tree is None:
        return Tree(type(None))
    if isinstance(tree, dict):
        # Sorted, so that two dicts that are equal give one program.
        keys = tuple(sorted(tree, key=lambda key: (type(key).__name__, key)))
        return Tree(kind, keys, tuple(_take_apart(tree[key], leaves) for key in keys))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return Tree(kind, tree._fields, tuple(_take_apart(child, leaves) for child in tree))
    if isinstance(tree, list | tuple):
        children = tuple(_take_apart(child, leaves) for child in tree)
        return Tree(kind, tuple(range(len(children))), children)
    if dataclasses.is_dataclass(kind):
        names = tuple(field.name for field in dataclasses.fields(tree))
        return Tree(kind, names, tuple(_take_apart(getattr(tree, name), leaves) for name in names))
    leaves.append(tree)
    return LEAF


def _put_together(shape: Tree, leaves: Iterator[Any]) -> Any:
    node = shape.node
    if node is None:
        return next(leaves)
    if node is type(None):
        return None
    children = [_put_together(child, leaves) for child in shape.children]
    if issubclass(node, dict):
        return node(zip(shape.keys, children, strict=True))
    if issubclass(node, tuple) and hasattr(node, "_fields"):
        return node(*children)
    if issubclass(node, list | tuple):
        return node(children)
    # Not through __init__, which may compute or check.
    instance = object.__new__(node)
    for name, child in zip(shape.keys, children, strict=True):
        object.__setattr__(instance, name, child)
    return instance
