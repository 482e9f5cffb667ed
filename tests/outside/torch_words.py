"""How a function of PyTorch is written in gradwire, and what can't be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn


class NotOfferedError(Exception):
    """A sample uses an option that gradwire has no word for."""


def not_offered(what: str) -> NoReturn:
    """Ends a sample that gradwire has no word for."""
    raise NotOfferedError(what)


@dataclass(frozen=True)
class Pair:
    """A function whose result isn't unique, compared by what is.

    Attributes:
        ours: The function, with PyTorch's arguments, and what is unique of it.
        theirs: What is unique of PyTorch's result.
    """

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
