"""What the Array API standard lists for infinities, NaN and signed zeros, and what NumPy does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
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


NUMBERS = (0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 20.0, np.inf)
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
TURNS: dict[str, Callable[[Array], Array]] = {
    "cos": np.cos,
    "sin": np.sin,
    "sin2": lambda y: np.sin(2 * y),
}


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


def outcome(word: str, x: Array, y: Array) -> tuple[Array, bool]:
    """Returns what a word of an outcome stands for, and whether its sign counts."""
    loose = word.startswith("?")
    size, _, turn = word.removeprefix("?").partition("*")
    sign, name = (-1.0, size[1:]) if size.startswith("-") else (1.0, size)
    operands = {"x": x, "y": y, "|x|": np.abs(x), "|y|": np.abs(y)}
    value = sign * (operands[name] if name in operands else CONSTANTS.get(name) or float(name))
    if turn:
        factor = TURNS[turn](y)
        value = np.where(factor == 0, factor, value * factor)
    return np.broadcast_to(value, x.shape).astype(np.float64), not loose


def cases(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yields each case of a text and the words of its outcome."""
    for line in text.replace("\n", ";").split(";"):
        if line.strip():
            left, _, right = line.partition("->")
            for case in left.split(","):
                yield " ".join(case.split()), right.split()


def disagreements(got: Array, want: Array, signed: bool) -> Array:
    """Tells where a number is another, a zero's and an infinity's sign included."""
    if not signed:
        got, want = np.abs(got), np.abs(want)
    info = np.finfo(got.dtype)
    close = (got == want) | (np.abs(got - want) <= 8 * float(info.eps) * np.abs(want))
    close &= (got != 0) | (np.signbit(got) == np.signbit(want))
    return ~(close | (np.isnan(got) & np.isnan(want)))


def assert_cases(text: str, x: Array, y: Array, parts: Sequence[Array], but: str = "") -> None:
    """Holds a function's values at the points (x, y), one or two parts, against the cases."""
    for case, words in cases(text):
        first, second = [*case.split(), "any"][:2]
        where = holds(first, x) & holds(second, y)
        assert where.any(), f"no point is {case}"
        for word, values in zip(words, parts, strict=True):
            got = values[where]
            wrong = disagreements(got, *outcome(word, x[where], y[where]))
            found = list(zip(x[where][wrong], y[where][wrong], got[wrong], strict=True))
            assert not found or case in but.split(", "), f"{case} -> {words}: {found[:3]}"


def assert_complex_cases(text: str, z: Array, got: Array, *, odd: bool, but: str = "") -> None:
    """The same of a complex function, and of conj z, and of -z if the function is odd."""
    for sign in (1, -1) if odd else (1,):
        for up in (sign, -sign):
            parts = [sign * got.real, up * got.imag]
            assert_cases(text, sign * z.real, up * z.imag, parts, but)


@cache
def all_of(ops: tuple[str, ...], kind: str, arity: int) -> dict[str, Array]:
    """Returns the values of ops at all points of a dtype, compiled in one program."""
    operands = points(kind)[:arity]
    case = partial(Case, make=lambda r, d: operands, reference=abs, dtypes=(kind,))
    functions = {op: lowered(case(op), operands, {}) for op in ops}

    @jax.jit
    def run(*operands: Any) -> dict[str, Any]:
        return {op: function(*operands)[0] for op, function in functions.items()}

    return {op: np.asarray(value) for op, value in run(*operands).items()}


def points(kind: str) -> list[Array]:
    """Returns coordinates of the points, or the one array that has both as its parts."""
    if kind.startswith("f"):
        return [LEFT.astype(kind), RIGHT.astype(kind)]
    z = np.empty(LEFT.shape, kind)
    z.real, z.imag = LEFT, RIGHT
    return [z]


NUMPY_NAMES = {"atan2": "arctan2", "pow": "power"} | {
    f"a{name}": f"arc{name}" for name in ("cos", "cosh", "sin", "sinh", "tan", "tanh")
}


def numpys(op: str, *operands: Array) -> Array:
    """Returns NumPy's value of the function that an op is."""
    return np.asarray(getattr(np, NUMPY_NAMES.get(op, op))(*operands))


in_both = pytest.mark.parametrize("kind", ["float32", "float64"])
in_both_complex = pytest.mark.parametrize("kind", ["complex64", "complex128"])


@in_both
@pytest.mark.parametrize("op", REAL)
def test_real_functions(op: str, kind: str) -> None:
    """A function of a real number does what the standard lists, and so does NumPy."""
    x, y = points(kind)
    for value in (all_of(tuple(REAL), kind, 1)[op], numpys(op, x)):
        assert_cases(REAL[op], x, y, [value])


@in_both
@pytest.mark.parametrize("op", PAIRS)
def test_functions_of_two_numbers(op: str, kind: str) -> None:
    """So does one of two, and is NumPy's at every pair of points, signs of zeros included."""
    x, y = points(kind)
    got, want = all_of(tuple(PAIRS), kind, 2)[op], numpys(op, x, y)
    for value in (want, got):
        assert_cases(PAIRS[op], x, y, [value])
    wrong = disagreements(got, want, signed=True)
    assert not wrong.any(), [*zip(x[wrong], y[wrong], got[wrong], want[wrong], strict=True)][:3]


@in_both_complex
@pytest.mark.parametrize("op", COMPLEX)
def test_complex_functions(op: str, kind: str) -> None:
    """A function of a complex number follows the standard; NumPy too, but for what is listed."""
    (z,) = points(kind)
    text, odd = COMPLEX[op], op in ODD
    got = all_of((*COMPLEX, *BY_ANOTHER), kind, 1)[op]
    assert_complex_cases(text, z, got.astype(kind), odd=odd)
    numpy_value = numpys(op, z).astype(kind)
    assert_complex_cases(text, z, numpy_value, odd=odd, but=NUMPY_DIFFERS.get(op, ""))


@in_both_complex
@pytest.mark.parametrize("op", BY_ANOTHER)
def test_functions_by_another(op: str, kind: str) -> None:
    """A trigonometric function is the hyperbolic one of iz, turned back, at every special point."""
    other = BY_ANOTHER[op]
    (z,) = points(kind)
    w = all_of((*COMPLEX, *BY_ANOTHER), kind, 1)[op]
    turned, back = z.copy(), w.copy()
    turned.real, turned.imag = -z.imag, z.real
    if op != "cos":
        back.real, back.imag = -w.imag, w.real
    assert_complex_cases(COMPLEX[other], turned, back, odd=other in ODD)


@in_both_complex
@pytest.mark.parametrize("op", [*COMPLEX, *BY_ANOTHER])
def test_side_of_a_branch_cut_is_numpys(op: str, kind: str) -> None:
    """At finite points, many on a cut, both parts have NumPy's signs, those of zeros included."""
    (z,) = points(kind)
    finite = np.isfinite(z)
    got = all_of((*COMPLEX, *BY_ANOTHER), kind, 1)[op].astype(kind)[finite]
    want = numpys(op, z[finite]).astype(kind)
    np.testing.assert_allclose(got, want, rtol=256 * float(np.finfo(kind).eps))
    for ours, theirs in ((got.real, want.real), (got.imag, want.imag)):
        wrong = np.signbit(ours) != np.signbit(theirs)
        assert not wrong.any(), [*zip(z[finite][wrong], got[wrong], want[wrong], strict=True)][:3]
