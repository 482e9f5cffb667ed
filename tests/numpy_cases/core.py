"""NumPy expressions with example arguments: what NumPy says of them, a traced one must give.

Needs NumPy only. An expression's free names are its arguments: arrays of the
case's dtype, and some that have a dtype of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

BOOL = ("bool",)
EXACT = ("bool", "int32", "int64", "uint8")
INTEGERS = ("int32", "int64", "uint8")
REALS = ("int32", "float32", "float64")
FLOATS = ("float32", "float64")
COMPLEX = ("complex64", "complex128")
INEXACT = (*FLOATS, *COMPLEX)
NUMBERS = ("int32", *INEXACT)
ORDERED = ("bool", "int32", "uint8", *FLOATS)
ANY = ("bool", "int32", "uint8", *INEXACT)
DOUBLE = ("float64",)
FEW = ("int32", "float32", "complex128")
SHORT = ("bool", "int8", "uint8", "int16", "float16")


@dataclass(frozen=True)
class Case:
    """One expression in some dtypes.

    Attributes:
        expression: Python, over ``np`` and the arguments.
        dtype: The dtype of those arguments that have none of their own.
        loose: How much more than rounding the values may differ.
    """

    expression: str
    dtype: str
    loose: float = 1.0

    @property
    def id(self) -> str:
        """The case's name in test reports."""
        return f"{self.expression} [{self.dtype}]"

    @property
    def arguments(self) -> dict[str, Any]:
        """The values of the free names, in order of their use."""
        code = compile(self.expression, "<case>", "eval")
        names = list(code.co_names)
        for constant in code.co_consts:  # lambdas and comprehensions
            names += getattr(constant, "co_names", ())
        known = samples(self.dtype)
        return {name: known[name] for name in names if name in known}

    def function(self) -> Callable[..., Any]:
        """The expression as a function of its arguments."""
        function: Callable[..., Any] = eval(
            f"lambda {', '.join(self.arguments)}: {self.expression}", {"np": np, "I": np.newaxis}
        )
        return function

    def expected(self) -> Any:
        """What NumPy makes of it."""
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.function()(**self.arguments)


@cache
def samples(dtype: str) -> Mapping[str, Any]:
    """Returns the arguments by name."""
    rng = np.random.default_rng(7)
    kind = np.dtype(dtype).kind

    def numbers(*shape: int) -> Any:
        if kind == "b":
            return rng.random(shape) > 0.5
        if kind in "iu":
            return rng.integers(0 if kind == "u" else -5, 6, shape).astype(dtype)
        values = rng.uniform(0.3, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
        if kind == "c":
            values = values + 1j * rng.uniform(-1.5, 1.5, shape)
        return values.astype(dtype)

    square = numbers(3, 3)
    positive = abs(numbers(3, 4)).astype(dtype)
    regular = (square + 4 * np.eye(3)).astype(dtype)
    definite = (np.conj(regular.T) @ regular + np.eye(3)).astype(dtype)
    return {
        "a": numbers(3, 4),
        "b": numbers(4),
        "c": numbers(2, 3, 4),
        "d": numbers(3, 4),
        "e": numbers(4, 2),
        "u3": numbers(3),
        "w3": numbers(3),
        "r": regular,
        "s": definite,
        "z0": numbers(),
        "one": numbers(1),
        "wide": numbers(1, 4, 1),
        "pos": positive,
        "tall": numbers(5, 3),
        "v": numbers(7),
        "rise": np.cumsum(abs(rng.uniform(0.3, 1.0, 6))).astype(dtype if kind == "f" else "d"),
        # Of their own dtypes.
        "i2": np.array([2, 0, -1]),
        "i32": np.array([[1, 2], [0, 1]], np.int32),
        "i0": np.array(1),
        "mask": np.array([[True, False, True, True]] * 3),
        "f32": np.linspace(-1, 1, 4, dtype=np.float32),
        "f64": np.linspace(-1, 1, 4),
        "n8": np.arange(-2, 2, dtype=np.int8),
        "p": 2.5,
        "n": 3,
        "f16": np.linspace(-1, 1, 4, dtype=np.float16),
        "gaps": _with_gaps(numbers(3, 4)),
        "nan": np.array([np.nan, -np.inf, np.inf, 0.5], "f" if dtype == "float32" else "d"),
    }


def _with_gaps(array: Any) -> Any:
    """Puts NaN into an array that can hold them: two of a row, a whole row, none."""
    if array.dtype.kind in "fc":
        array[0, 1:3] = array[1] = np.nan
    return array


def cases(dtypes: tuple[str, ...], *expressions: str, loose: float = 1.0) -> Iterator[Case]:
    for expression in expressions:
        yield from (Case(expression, dtype, loose) for dtype in dtypes)


def each(template: str, names: str) -> list[str]:
    return [template.replace("{f}", name) for name in names.split()]
