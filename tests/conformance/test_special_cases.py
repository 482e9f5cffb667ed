"""What the Array API standard lists for infinities, NaN and signed zeros, and what NumPy does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from conformance.harness import Case, lowered
from conformance.special_cases import (
    BY_ANOTHER,
    COMPLEX,
    NUMPY_DIFFERS,
    ODD,
    PAIRS,
    REAL,
)
from gradwire.tensors import Array



@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


NUMBERS = (0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 30.0, np.inf)
POINTS = np.array([*NUMBERS, *(-x for x in NUMBERS), np.nan])
LEFT, RIGHT = (grid.ravel() for grid in np.meshgrid(POINTS, POINTS, indexing="ij"))

TESTS: dict[str, Callable[[Array], Array]] = {
    "any": lambda x: x == x,
    "real": lambda x: ~np.isnan(x),
    "nan": np.isnan,
    "finite": np.isfinite,
    "nonzero": lambda x: np.isfinite(x) & (x != 0),
    "pos": lambda x: np.isfinite(x) & (x > 0),
    "neg": lambda x: np.isfinite(x) & (x < 0),
    "above": lambda x: x > 0,
    "below": lambda x: x < 0,
    "zero": lambda x: x == 0,
    "infs": np.isinf,
    "big": lambda x: np.abs(x) > 1,
    "small": lambda x: np.abs(x) < 1,
    "unit": lambda x: np.abs(x) == 1,
    "odd": lambda x: np.isfinite(x) & (np.mod(x, 2) == 1),
    "even": lambda x: np.isinf(x) | (np.mod(x, 2) == 0),
    "broken": lambda x: np.isfinite(x) & (x != np.round(x)),
}
CONSTANTS = {"π": np.pi, "π/2": np.pi / 2, "π/4": np.pi / 4, "3π/4": 3 * np.pi / 4}


def holds(word: str, x: Array) -> Array:
    """Tells where a number is what the word says."""
    if word[0] in "<>":
        bound = float(word[1:])
        return np.asarray(x < bound if word[0] == "<" else x > bound)
    sign, _, kind = word.rpartition("_")
    if sign:
        return holds({"pos": "above", "neg": "below"}[sign], x) & holds(kind, x)
    if word in TESTS:
        return TESTS[word](x)
    number = np.float64(word)
    return np.asarray((x == number) & (np.signbit(x) == np.signbit(number)))


def outcome(word: str, x: Array, y: Array, turn: Array) -> tuple[Array, Array]:
    """Returns what a word of an outcome stands for, and whether its sign counts."""
    loose = word.startswith("?")
    word = word.removeprefix("?")
    size, product, rest = word.partition("*")
    if product:
        value = np.where(turn == 0, np.copysign(0, turn), np.float64(size) * turn)
        value = value - 1 if rest.endswith("-1") else value
    else:
        sign, name = (-1.0, word[1:]) if word.startswith("-") else (1.0, word)
        operands = {"x": x, "y": y, "|x|": np.abs(x), "|y|": np.abs(y)}
        value = sign * (operands[name] if name in operands else CONSTANTS.get(name) or float(name))
    value = np.broadcast_to(value, x.shape).astype(np.float64)
    return value, np.full(x.shape, not loose)


def cases(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yields each case of a text and the words of its outcome."""
    for line in text.replace("\n", ";").split(";"):
        if line.strip():
            left, _, right = line.partition("->")
            for case in left.split(","):
                yield " ".join(case.split()), right.split()


def disagreements(got: Array, want: Array, signed: Array, dtype: Any) -> Array:
    """Tells where a number is another, a zero's and an infinity's sign included."""
    close = (got == want) | (np.abs(got - want) <= 8 * np.finfo(dtype).eps * np.abs(want))
    close |= ~signed & (np.abs(got) == np.abs(want))
    close &= ~signed | (got != 0) | (np.signbit(got) == np.signbit(want))
    return ~(close | (np.isnan(got) & np.isnan(want)))


def assert_real_cases(text: str, x: Array, y: Array, got: Array) -> None:
    """Holds a function's values at the points (x, y) against the cases."""
    for case, (word,) in cases(text):
        words = [*case.split(), "any"][:2]
        where = holds(words[0], x) & holds(words[1], y)
        assert where.any(), f"no point is {case}"
        want, signed = outcome(word, x[where], y[where], x[where])
        wrong = disagreements(got[where], want, signed, got.dtype)
        found = list(zip(x[where][wrong], y[where][wrong], got[where][wrong], strict=True))
        assert not found, f"{case} -> {word}: {found[:3]}"


def assert_complex_cases(text: str, z: Array, got: Array, odd: bool, but: tuple[str, ...]) -> None:
    """The same of a complex function; where a case has NaN, signs of zeros count less."""
    a, b = z.real, z.imag
    for case, words in cases(text):
        first, second = case.split()
        for sign in (1, -1) if odd else (1,):
            x, y = sign * a, sign * b
            for up in (1, -1):
                where = holds(first, x) & holds(second, up * y)
                assert where.any(), f"no point is {case}"
                x_here, y_here = x[where], (up * y)[where]
                turns = np.cos(y_here), np.sin(y_here)
                turns = np.where(y_here == 0, [[1.0], [0.0]] * np.ones_like(y_here), turns)
                values = (sign * got.real)[where], (sign * up * got.imag)[where]
                for part, word in enumerate(words):
                    turned = turns[1] if word.endswith("sin") else turns[part]
                    if word == "0*sin":
                        turned = np.sin(2 * y_here)
                    want, signed = outcome(word.replace("*sin", "*cis"), x_here, y_here, turned)
                    if part == 1 and "cis-1" in words[0]:
                        want, signed = outcome("0*cis", x_here, y_here, turned)
                    wrong = disagreements(values[part], want, signed, z.real.dtype)
                    found = list(
                        zip(x_here[wrong], y_here[wrong], values[part][wrong], strict=True)
                    )
                    assert case in but or not found, f"{case} -> {' '.join(words)}: {found[:3]}"


def ours(op: str, *operands: Array) -> Array:
    """Returns an op's value, compiled."""
    case = Case(op, lambda r, d: operands, lambda: None, (str(operands[0].dtype),))
    return np.asarray(jax.jit(lowered(case, operands, {}))(*operands)[0])


NUMPY_NAMES = {"atan2": "arctan2", "pow": "power"} | {
    f"a{name}": f"arc{name}" for name in ("cos", "cosh", "sin", "sinh", "tan", "tanh")
}


def numpys(op: str, *operands: Array) -> Array:
    """Returns NumPy's value of the function that an op is."""
    return np.asarray(getattr(np, NUMPY_NAMES.get(op, op))(*operands))


@pytest.mark.parametrize("op", REAL)
def test_real_functions(op: str) -> None:
    """A function of a real number does what the standard and NumPy do."""
    for dtype in (np.float64, np.float32):
        x = POINTS.astype(dtype)
        for value in (ours, numpys):
            assert_real_cases(REAL[op], x, np.zeros_like(x), value(op, x))


@pytest.mark.parametrize("op", PAIRS)
def test_functions_of_two_numbers(op: str) -> None:
    """So does one of two, and is NumPy's at every pair of points, signs of zeros included."""
    for dtype in (np.float64, np.float32):
        x, y = LEFT.astype(dtype), RIGHT.astype(dtype)
        got, want = ours(op, x, y), numpys(op, x, y)
        assert_real_cases(PAIRS[op], x, y, want)
        assert_real_cases(PAIRS[op], x, y, got)
        wrong = disagreements(got, want, np.full(x.shape, True), dtype)
        assert not wrong.any(), [*zip(x[wrong], y[wrong], got[wrong], want[wrong], strict=True)][:3]


def grid(dtype: Any) -> Array:
    """Returns the complex numbers that have the points as parts."""
    part = np.dtype(dtype).type(0).real.dtype
    z = np.empty(LEFT.shape, dtype)
    z.real, z.imag = LEFT.astype(part), RIGHT.astype(part)
    return z


@pytest.mark.parametrize("op", COMPLEX)
def test_complex_functions(op: str) -> None:
    """A function of a complex number follows the standard; NumPy too, but for what is listed."""
    for dtype in (np.complex128, np.complex64):
        z = grid(dtype)
        for value, but in ((ours, ()), (numpys, tuple(NUMPY_DIFFERS.get(op, "").split(", ")))):
            got = value(op, z).astype(dtype)
            assert_complex_cases(COMPLEX[op], z, got, op in ODD, but)


@pytest.mark.parametrize("op", BY_ANOTHER)
def test_functions_by_another(op: str) -> None:
    """A trigonometric function is the hyperbolic one of iz, turned back, at every special point."""
    other = BY_ANOTHER[op]
    for dtype in (np.complex128, np.complex64):
        z = grid(dtype)
        turned = z.copy()
        turned.real, turned.imag = -z.imag, z.real
        w = ours(op, z)
        back = w.copy()
        if op != "cos":
            back.real, back.imag = -w.imag, w.real
        assert_complex_cases(COMPLEX[other], turned, back, other in ODD, ())
