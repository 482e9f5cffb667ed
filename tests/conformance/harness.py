"""What a conformance case is, and how an op of the table is run on its own.

To add a case, append to ``CASES`` of the family's ``cases_<family>.py``; every
module of that name is collected by itself::

    from conformance.harness import FLOATS, INEXACT, Case, normal, uniform

    CASES = (
        # Elementary: inputs, reference on NumPy arrays, dtypes.
        Case("tan", lambda r, d: [uniform(r, d, (2, 3), -1, 1)], np.tan, INEXACT),
        # With attributes. The reference gets them too: reference(*inputs, **attrs).
        Case(
            "sum",
            lambda r, d: [normal(r, d, (2, 3, 4))],
            lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims),
            NUMERIC,
            attrs={"axis": (0, -1), "keepdims": True},
            name="two_axes",
        ),
        # Several outputs: the reference returns a tuple. Signs of eigenvectors
        # are free, so only what is determined is compared; ``observe`` is
        # called with NumPy's module and with JAX's.
        Case(
            "linalg.eigh",
            make_symmetric,
            reference,
            INEXACT32,
            observe=lambda xp, outputs: [outputs[0], xp.abs(outputs[1])],
        ),
    )

Rules of a case
- ``make(rng, dtype)`` returns NumPy arrays, of the same shapes at every call.
  It must work for *every* dtype, since those outside ``dtypes`` are used to
  see the op refuse them: use ``normal``, ``uniform``, ``literal`` and so on.
- ``reference`` gets floating operands as float64, complex ones as complex128
  (each exactly), others as they are. It must be NumPy, SciPy or a closed form:
  never JAX.
- Inputs keep away from kinks, poles and domain edges by more than ``step``
  (1/32) in every element that is differentiated, for the finite differences.
- ``dtypes``: the value is compared in each. The union over an op's cases must
  be all that the table allows: any other dtype must be refused.
- ``wrt``: positions that are differentiated; by default every inexact one.
  ``wrt=()`` for cases about values at special points.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.ir import Program
from gradwire.ir.binding import bind_attrs
from gradwire.opset import OPS
from gradwire.opset.core import Call
from gradwire.tensors import BFLOAT16, Array, Dtype, TensorType, is_complex, is_inexact, type_of
from gradwire_server.compiler.lowering import LOWERINGS, lower_function
from haste import UNOPTIMISED
from planned import settle
from programs import function, node, program

Rng = np.random.Generator
Make = Callable[[Rng, Dtype], Sequence[Array]]

unoptimised_and_optimised = pytest.mark.parametrize(
    "options",
    [
        pytest.param(UNOPTIMISED, id="unoptimised"),
        pytest.param({}, id="optimised", marks=pytest.mark.long),
    ],
)
"""Gives a test the ``compiler_options`` for haste, and among the long tests the server's own."""

BOOL = ("bool",)
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = SIGNED + UNSIGNED
BITWISE = BOOL + INTEGERS
FLOATS32 = ("float32", "float64")
FLOATS = ("float16", "bfloat16", *FLOATS32)
COMPLEX = ("complex64", "complex128")
INEXACT = FLOATS + COMPLEX
INEXACT32 = FLOATS32 + COMPLEX
REAL = INTEGERS + FLOATS
ORDERED = BOOL + REAL
NUMERIC = REAL + COMPLEX
ANY = BOOL + NUMERIC


def dtype_of(name: str) -> Dtype:
    """Returns the dtype of a name above."""
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


@dataclass(frozen=True, eq=False)
class Case:
    """One use of an op. See the module's docstring.

    Attributes:
        op: The op's name.
        make: Makes the operands from a random generator and a dtype.
        reference: The value, from NumPy arrays and the attributes.
        dtypes: Names of the dtypes to test the value in.
        attrs: The attributes, or a function of the dtype that returns them.
        name: Tells the cases of one op apart.
        wrt: Positions of the operands that are differentiated; None for
            every inexact one.
        observe: A function of (module, outputs) that returns what is compared.
        native: Give the reference the operands as they are, not in double
            precision: for ops on the bits of a number.
        ulps: The error allowed, in units of the result dtype's epsilon.
        relative: Compare each element relative to itself, not to the largest.
        step: The largest step of the finite differences.
        complex_derivatives: Whether derivatives are checked in complex128 too,
            if that is among the dtypes.
    """

    op: str
    make: Make
    reference: Callable[..., Any]
    dtypes: tuple[str, ...]
    attrs: Mapping[str, Any] | Callable[[Dtype], Mapping[str, Any]] = field(default_factory=dict)
    name: str = ""
    wrt: tuple[int, ...] | None = None
    observe: Callable[[Any, Sequence[Any]], Sequence[Any]] | None = None
    native: bool = False
    ulps: float = 16
    relative: bool = False
    step: float = 1 / 32
    complex_derivatives: bool = True

    @property
    def id(self) -> str:
        """The case's name in test reports."""
        return f"{self.op}-{self.name}" if self.name else self.op

    @property
    def widest(self) -> Dtype:
        """The dtype in which derivatives and batching are tested."""
        wide = [name for name in ("float64", "complex128") if name in self.dtypes]
        return dtype_of((wide or list(self.dtypes))[0])

    def inputs(self, dtype: Dtype, seed: int = 0) -> list[Array]:
        """Returns operands in a dtype."""
        return [np.asarray(x) for x in self.make(np.random.default_rng(seed), dtype)]

    def attrs_for(self, dtype: Dtype) -> dict[str, Any]:
        """Returns the attributes that the node carries."""
        return dict(self.attrs(dtype) if callable(self.attrs) else self.attrs)

    def positions(self, inputs: Sequence[Array]) -> tuple[int, ...]:
        """Returns the positions of the operands that are differentiated."""
        if self.wrt is not None:
            return self.wrt
        return tuple(i for i, x in enumerate(inputs) if is_inexact(x.dtype))

    def expected(self, inputs: Sequence[Array], attrs: Mapping[str, Any]) -> list[Array]:
        """Returns the reference's outputs, observed; floating ones in double precision."""
        with np.errstate(all="ignore"):
            operands = inputs if self.native else map(widened, inputs)
            result = self.reference(*operands, **attrs)
            outputs = list(result) if isinstance(result, tuple | list) else [result]
            outputs = [np.asarray(x) for x in outputs]
            return [np.asarray(x) for x in self.observed(np, outputs)]

    def observed(self, xp: Any, outputs: Sequence[Any]) -> list[Any]:
        """Returns what is compared of the outputs."""
        return list(self.observe(xp, outputs)) if self.observe else list(outputs)


def widened(x: Array) -> Array:
    """Returns the array in double precision if it is inexact, exactly."""
    if is_complex(x.dtype):
        return x.astype(np.complex128)
    return x.astype(np.float64) if is_inexact(x.dtype) else x


def normal(rng: Rng, dtype: Dtype, shape: tuple[int, ...], scale: float = 1.0) -> Array:
    """Normal numbers of a dtype; integers are from -9 to 9, or 0 to 9."""
    x = rng.normal(size=shape) * scale
    if dtype.kind == "b":
        return np.asarray(x > 0)
    if dtype.kind == "i":
        return rng.integers(-9, 10, shape).astype(dtype)
    if dtype.kind == "u":
        return rng.integers(0, 10, shape).astype(dtype)
    if is_complex(dtype):
        x = x + 1j * rng.normal(size=shape) * scale
    return np.asarray(x).astype(dtype)


def uniform(rng: Rng, dtype: Dtype, shape: tuple[int, ...], low: float, high: float) -> Array:
    """Uniform numbers of a dtype: both parts of a complex one, integers inside if any are."""
    x = rng.uniform(low, high, shape)
    if dtype.kind == "b":
        return np.asarray(x > (low + high) / 2)
    if dtype.kind in "iu":
        least = max(int(np.ceil(low)), 0 if dtype.kind == "u" else -(2**31))
        return rng.integers(least, max(int(np.floor(high)), least) + 1, shape).astype(dtype)
    if is_complex(dtype):
        x = x + 1j * rng.uniform(low, high, shape)
    return np.asarray(x).astype(dtype)


def positive(rng: Rng, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    """Numbers from 0.4 to 3; integers from 1 to 3; complex ones with such parts."""
    return uniform(rng, dtype, shape, 0.4, 3)


def literal(dtype: Dtype, values: Sequence[Any]) -> Array:
    """The very numbers in a dtype; some integers of that shape if it is discrete."""
    x = np.asarray(values)
    if dtype.kind in "biu":
        x = np.arange(x.size).reshape(x.shape)
    return np.asarray(x.astype(dtype))


def nonzero(rng: Rng, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    """Numbers of either sign, of magnitude 0.5 to 2; integers -3 to 3 without 0."""
    x = uniform(rng, dtype, shape, 0.5, 3 if dtype.kind in "iu" else 2)
    return x if dtype.kind in "bu" else np.asarray(x * rng.choice([-1, 1], shape).astype(dtype))


def distinct(rng: Rng, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    """Shuffled real numbers at least 0.25 apart and from zero, for max, sort and the like."""
    size = int(np.prod(shape))
    x = np.arange(size) - size // 2
    x = np.where(x >= 0, x + 1, x).astype(np.float64)
    if dtype.kind == "u":
        x = np.arange(size).astype(np.float64)
    elif dtype.kind not in "iu":
        x = x / 4
    x = rng.permutation(x).reshape(shape)
    return np.asarray(x > 0) if dtype.kind == "b" else np.asarray(x).astype(dtype)


@cache
def all_cases() -> tuple[Case, ...]:
    """Returns the cases of every ``cases_*.py`` beside this file."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("cases_*.py"))
    modules = [importlib.import_module(f"conformance.{stem}") for stem in stems]
    return tuple(case for module in modules for case in module.CASES)


def cases_of_table() -> tuple[Case, ...]:
    """Returns the cases whose op is in the table; one test holds that all are."""
    return tuple(case for case in all_cases() if case.op in OPS)


def others_at_length(cases: Sequence[Case]) -> list[Any]:
    """Returns the cases as parameters: all but the first of each op are for the long tests."""
    first = {case.op: case for case in reversed(cases)}
    return [
        pytest.param(case, id=case.id, marks=[] if case is first[case.op] else pytest.mark.long)
        for case in cases
    ]


def output_types(
    op: str, types: Sequence[TensorType], attrs: Mapping[str, Any]
) -> list[TensorType]:
    """Returns what the table says of a call; raises ``InvalidProgramError``."""
    return list(OPS[op].infer(Call(tuple(types), bind_attrs(OPS[op], attrs))))


def one_node(op: str, types: Sequence[TensorType], attrs: Mapping[str, Any]) -> Program:
    """Returns the program of one call; raises ``InvalidProgramError`` if it is refused."""
    count = len(types)
    outputs = range(count, count + len(output_types(op, types, attrs)))
    return program(function(types, node(op, range(count), *outputs, **attrs), results=outputs))


def lowered(
    case: Case, inputs: Sequence[Array], attrs: Mapping[str, Any]
) -> Callable[..., list[Any]]:
    """Returns the JAX function of the case's program on operands of these types."""
    typed = settle(one_node(case.op, [type_of(x) for x in inputs], attrs))
    return lower_function(typed, 0, LOWERINGS)


def assert_close(
    got: Sequence[Any],
    want: Sequence[Any],
    *,
    ulps: float,
    relative: bool,
    what: str,
) -> None:
    """Compares outputs with the reference: exactly, or within epsilons of their dtype."""
    assert len(got) == len(want), f"{what}: {len(got)} outputs, {len(want)} in the reference"
    for position, (ours, theirs) in enumerate(zip(map(np.asarray, got), want, strict=True)):
        label = f"{what}, output {position}"
        assert ours.shape == np.shape(theirs), f"{label}: {ours.shape}, want {np.shape(theirs)}"
        if not is_inexact(ours.dtype):
            np.testing.assert_array_equal(ours, np.asarray(theirs).astype(ours.dtype), label)
            continue
        tolerance = ulps * epsilon(ours.dtype)
        theirs = widened(np.asarray(theirs))
        finite = np.abs(theirs[np.isfinite(theirs)])
        largest = float(finite.max()) if finite.size and not relative else 0.0
        np.testing.assert_allclose(
            widened(ours), theirs, rtol=tolerance, atol=tolerance * largest, err_msg=label
        )


def epsilon(dtype: Dtype) -> float:
    """Returns the distance from 1 to the next number."""
    return 2.0**-7 if dtype == BFLOAT16 else float(np.finfo(dtype).eps)


def finite_differences(
    function: Callable[[float], Sequence[Array]], step: float
) -> tuple[list[Array], list[Array]]:
    """Returns first and second derivatives of ``function(t)`` at 0, for each output.

    Central differences at the steps h, h/2, h/4, h/8, extrapolated to zero by
    Richardson: both errors are even in h, so each column of the scheme removes
    one power of h².
    """
    centre = function(0.0)
    first: list[list[Array]] = []
    second: list[list[Array]] = []
    for level in range(4):
        h = step / 2**level
        ahead, behind = function(h), function(-h)
        first.append([(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)])
        second.append(
            [(a - 2 * c + b) / h**2 for a, c, b in zip(ahead, centre, behind, strict=True)]
        )
    return _richardson(first), _richardson(second)


def _richardson(rows: list[list[Array]]) -> list[Array]:
    power = 1.0
    while len(rows) > 1:
        power *= 4
        rows = [
            [(power * fine - coarse) / (power - 1) for coarse, fine in zip(a, b, strict=True)]
            for a, b in pairwise(rows)
        ]
    return rows[0]
