"""What an entry of the opset table is. Needs NumPy only; it must not import ``ir`` or JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np

from gradwire.errors import InvalidProgramError
from gradwire.tensors import Dtype, TensorType

OPSET_VERSION: Final = 1

REQUIRED: Final = object()
"""Marks an attribute without a default."""

ALL_AXES: Final = object()
"""Marks an attribute that holds every axis of the first operand where a caller leaves it out."""

MIXED: Final = -1
"""In a batch rule's answer: samples may depend on each other in this output."""

UNBOUNDED: Final = 1 << 16
"""The arity of an op that takes any number of inputs."""


class Derivatives(StrEnum):
    """Which derivatives an op has."""

    ANY = "any"
    """Derivatives of every order, almost everywhere."""
    FIRST = "first"
    """First derivatives only."""
    ZERO = "zero"
    """Zero: the op is piecewise constant, or its result is discrete."""
    NONE = "none"
    """Refused."""


class Kind(StrEnum):
    """The kind of an attribute, as `Attr` on the wire spells it."""

    INT = "i"
    FLOAT = "f"
    COMPLEX = "c"
    BOOL = "b"
    WORD = "s"
    DTYPE = "dtype"
    INTS = "ints"
    FLOATS = "doubles"
    WORDS = "strings"
    INDEX = "index"
    TYPE = "type"


@dataclass(frozen=True, slots=True)
class At:
    """One position in a subscript."""

    position: int


@dataclass(frozen=True, slots=True)
class Range:
    """A slice in a subscript."""

    start: int | None
    stop: int | None
    step: int | None


@dataclass(frozen=True, slots=True)
class NewAxis:
    """A new axis in a subscript."""


@dataclass(frozen=True, slots=True)
class ByArray:
    """An integer array in a subscript: the node's next input."""


Index = tuple[At | Range | NewAxis | ByArray, ...]
"""A subscript. See `IndexSpec` in function.proto."""

AttrValue = (
    int
    | float
    | complex
    | bool
    | str
    | Dtype
    | tuple[int, ...]
    | tuple[float, ...]
    | tuple[str, ...]
    | Index
    | TensorType
)


@dataclass(frozen=True, slots=True)
class AttrSpec:
    """One attribute of an op.

    Attributes:
        kind: The kind of its value.
        doc: One line for the reference.
        default: Its value where a node leaves it out, or ``REQUIRED``.
        choices: The words allowed, for ``Kind.WORD``.
        omitted: What `gw.ops` writes into a node where a caller leaves it out,
            or ``ALL_AXES``; if None, nothing.
    """

    kind: Kind
    doc: str
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()
    omitted: Any = None


@dataclass(frozen=True, slots=True)
class Signature:
    """The types of a function's parameters and results."""

    params: tuple[TensorType, ...]
    results: tuple[TensorType, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One use of an op, as its rules receive it.

    Attributes:
        inputs: The operands' types.
        attrs: Every attribute of the op, defaults filled in.
        functions: The signatures of the functions that the node uses.
    """

    inputs: tuple[TensorType, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    functions: tuple[Signature, ...] = ()


InferRule = Callable[[Call], Sequence[TensorType]]
Axes = Sequence[int | None]
BatchRule = Callable[[Call, Axes], Axes]
CalleeAxes = Callable[[Axes], Axes]
"""Given the batch axes of a function's parameters, those of its results."""
OperatorBatchRule = Callable[[Call, Axes, Sequence[CalleeAxes]], Axes]
Facts = Sequence[Any]
"""A fact about each of several values, such as what it depends on."""
CalleeFacts = Callable[[Facts], Facts]
"""Given the facts about a function's parameters, those about its results."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """How facts about values combine.

    Attributes:
        nothing: The fact about a value about which nothing is known.
        join: Combines two facts about one value.
    """

    nothing: Any
    join: Callable[[Any, Any], Any]


Flow = Callable[[Call, Facts, Sequence[CalleeFacts], Lattice], Facts]
"""Given the facts about an op's operands, those about its outputs."""


@dataclass(frozen=True, slots=True)
class Runs:
    """How often an op runs a function, for the bounds on a program.

    Attributes:
        trips: The greatest number of runs one after the other.
        kept: The number of runs whose intermediates a reverse sweep keeps.
        recomputed: Whether it keeps their operands only.
        unrolled: How many copies of the function are written out.
    """

    trips: int = 1
    kept: int = 1
    recomputed: bool = False
    unrolled: int = 1


ONE_RUN: Final = Runs()


@dataclass(frozen=True, slots=True)
class OpDef:
    """One op: everything about it that doesn't need JAX.

    Attributes:
        name: Its name on the wire.
        doc: One line for the reference.
        infer: The types of its outputs; raises ``InvalidProgramError``.
        arity: The least and the greatest number of inputs.
        attrs: Its attributes by name.
        derivatives: Which derivatives it has.
        batch: Where the batch axis of each output is, given that of each input
            (None: the value doesn't depend on the batch); ``MIXED`` where
            samples may depend on each other. Without a rule every output is
            ``MIXED`` as soon as one input has a batch axis. Only called if at
            least one input has a batch axis and none is ``MIXED``.
        num_functions: How many functions a node of it uses, or the least and
            the greatest number.
        operator_batch: The batch rule of an op with functions, in place of
            ``batch``: it may query the result axes of each function for given axes.
            Unlike ``batch`` it is also called for ``MIXED`` inputs.
        sweeps: The direction of each differentiation that it applies to its
            functions, the outermost first; a function of the attributes where it
            depends on them, which returns ``auto`` where they leave it open. See
            ``sweeps_of``.
        flow: How values pass through an op that runs functions and does not
            differentiate them; without it every operand may reach every result.
        runs: How often it runs its functions. See ``runs_of``.
        own_rule: Whether its lowering depends on a custom rule of JAX's, which
            is lost in some uses within loops; a function of the call where it
            depends on that. See ``has_own_rule`` and ``is_lost``.
        irreversible: Why no reverse sweep can pass, and what to do, or None.
        copies: How many copies of a function's intermediates are alive at once
            while the op runs it, at least; for the bound on the largest intermediate.
        may_be_non_finite: Whether finite inputs can give NaN or infinity for
            a reason that is worth naming (a pole, a branch point, a singular
            matrix, an equation without a solution), other than overflow.
        advice: What to use instead where it does, for the warning; or nothing.
        matrix_rows: The rows of the largest matrix that it factorises or solves
            with, or its columns if those are fewer.
        window_elements: How many elements its windows read, all together.
        operands: The names of its inputs for the reference, such as ``x, y``;
            ``...`` after a name that repeats, brackets around what may be left out.
        dtypes: The class of dtypes it works in, one of ``DTYPE_CLASSES``; its rule
            checks attributes and positions besides.
        domain: For which operands a special function is computed; outside of
            them it is NaN, or infinite where ``doc`` says so.
        accuracy: The errors in float64 of its value and of its derivatives to
            order 3 there, relative to themselves or to what one such change
            of an operand does to them, whichever is greater.
        view: Whether its results share memory with its first operand in NumPy,
            so that neither may be changed in place, because the other would have
            to change too; a function of the call where it depends on that. See
            ``is_view``.
        ufuncs: The elementwise ufuncs of NumPy and SciPy, by full name, that are
            this op once their operands have the dtypes of a loop of theirs.
        ufunc_method: The method of a NumPy ufunc that it is along an axis or at
            a subscript, such as ``add.reduce``; or nothing.
        own_dtype: The operands, by position, that `gw.ops` leaves in their own
            dtype; it converts the others to a common one.
        many_outputs: Whether its number of outputs depends on its operands and
            attributes, even where that is one.
    """

    name: str
    doc: str
    infer: InferRule
    arity: tuple[int, int] = (1, 1)
    attrs: Mapping[str, AttrSpec] = field(default_factory=dict)
    derivatives: Derivatives = Derivatives.ANY
    batch: BatchRule | None = None
    num_functions: int | tuple[int, int] = 0
    operator_batch: OperatorBatchRule | None = None
    sweeps: tuple[str, ...] | Callable[[Call], tuple[str, ...]] = ()
    flow: Flow | None = None
    runs: Callable[[Call], Runs] | None = None
    irreversible: Callable[[Call], str | None] | None = None
    own_rule: bool | Callable[[Call], bool] = False
    copies: Callable[[Call], int] | None = None
    may_be_non_finite: bool = False
    advice: str = ""
    matrix_rows: Callable[[Call], int] | None = None
    window_elements: Callable[[Call, Sequence[TensorType]], int] | None = None
    operands: str = ""
    dtypes: str = ""
    domain: str = ""
    accuracy: tuple[float, float] | None = None
    view: bool | Callable[[Call], bool] = False
    ufuncs: tuple[str, ...] = ()
    ufunc_method: str = ""
    own_dtype: tuple[int, ...] = ()
    many_outputs: bool = False

    @property
    def function_range(self) -> tuple[int, int]:
        """The least and the greatest number of functions that a node of it uses."""
        count = self.num_functions
        return count if isinstance(count, tuple) else (count, count)

    def sweeps_of(self, call: Call) -> tuple[str, ...]:
        """Returns the directions of the differentiations that one use of it applies."""
        return self.sweeps(call) if callable(self.sweeps) else self.sweeps

    def orders_of(self, call: Call) -> int:
        """Returns how many orders of differentiation one use of it applies."""
        return len(self.sweeps_of(call))

    def has_own_rule(self, call: Call) -> bool:
        """Returns whether the lowering of one use depends on a custom rule of JAX's."""
        return self.own_rule(call) if callable(self.own_rule) else self.own_rule

    def is_view(self, call: Call) -> bool:
        """Returns whether the results of one use share memory with its first operand in NumPy."""
        return self.view(call) if callable(self.view) else self.view

    def runs_of(self, call: Call) -> Runs:
        """Returns how often one use of it runs its functions."""
        return self.runs(call) if self.runs else ONE_RUN


def fail(message: str) -> InvalidProgramError:
    """Makes the error of a rule; the code that handles the node adds its place."""
    return InvalidProgramError(message)


def require(condition: object, message: Callable[[], str]) -> None:
    """Raises ``InvalidProgramError`` unless the condition holds."""
    if not condition:
        raise fail(message())


BOOL: Final = np.dtype(np.bool_)
INT32: Final = np.dtype(np.int32)
INT64: Final = np.dtype(np.int64)
UINT32: Final = np.dtype(np.uint32)
