"""Builds one function after another while Python runs. Depends on ops only by the table.

A `Trace` is one program being built; a `FunctionBuilder` one of its functions.
Functions nest as the Python calls do, and an inner one that reads a value of an
outer one gets it as a captured parameter, through any number of levels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradwire.errors import GradwireError, TraceError
from gradwire.ir.infer import FunctionInfo, FunctionTyper
from gradwire.ir.program import Constant, Function, Node, Param
from gradwire.tensors import Array, Dtype, TensorType, is_complex, is_inexact, type_of
from gradwire.trace.lines import Line, caller_line

MAX_CONSTANT_BYTES = 64 * 1024
"""The largest integer or boolean array that becomes a constant of the program."""

UNFINISHED = 2**62
"""Stands for the index of a function that isn't finished: behind all that are."""


@dataclass(frozen=True, slots=True)
class Ref:
    """One value: an id in the function that defines it."""

    builder: FunctionBuilder
    id: int

    @property
    def type(self) -> TensorType:
        """The value's type."""
        return self.builder.typer.types[self.id]


@dataclass
class Trace:
    """One program being built.

    Attributes:
        float_dtype: The floating dtype that all floating values are given, if any.
        lifted: The scalar constants, by order of their use, that are inputs.
        functions: The functions that are finished.
        infos: What is known of each.
        lines: For each of them the caller's line of each node.
        sources: Where the value of each parameter of the entry comes from.
        scalars: Every scalar constant that was met, in order.
        checks: What to do with the hidden results of a run.
        custom: The functions with a rule of their own, by function and types.
        infinite: Values that are infinite by design; no warning names them.
    """

    float_dtype: Dtype | None = None
    lifted: frozenset[int] = frozenset()
    functions: list[Function] = field(default_factory=list)
    infos: list[FunctionInfo] = field(default_factory=list)
    lines: list[tuple[Line, ...]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    scalars: list[Array] = field(default_factory=list)
    checks: list[tuple[list[Ref], Callable[..., None]]] = field(default_factory=list)
    custom: dict[Any, Any] = field(default_factory=dict)
    infinite: set[Ref] = field(default_factory=set)
    root: FunctionBuilder = field(init=False)
    _arrays: dict[int, tuple[Array, Array, Ref]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = FunctionBuilder(self, None, "entry")

    def rewind(self, count: int) -> None:
        """Drops all but the first ``count`` functions: they are traced again."""
        del self.functions[count:], self.infos[count:], self.lines[count:]

    def pin(self, dtype: Dtype) -> Dtype:
        """Returns the dtype that a value of ``dtype`` has in this program."""
        if self.float_dtype is None or not is_inexact(dtype):
            return dtype
        if is_complex(dtype):
            return np.dtype(np.complex128 if self.float_dtype == np.float64 else np.complex64)
        return self.float_dtype

    def runtime_input(self, tensor_type: TensorType, source: Source) -> Ref:
        """Adds a parameter to the entry."""
        self.sources.append(source)
        return self.root.add_param(tensor_type)

    def array_input(self, array: Array) -> Ref:
        """Returns the entry's parameter for an array met while tracing.

        The array is copied: its owner may change it before the program runs.
        Only the same array with the same content is the same parameter.
        """
        known = self._arrays.get(id(array))
        if known is not None and known[1].tobytes() == array.tobytes():
            return known[2]
        copy = np.array(array, dtype=self.pin(array.dtype), order="C")
        original = np.array(array, order="C")
        ref = self.runtime_input(type_of(copy), CapturedSource(copy))
        self._arrays[id(array)] = (array, original, ref)
        return ref

    def scalar(self, builder: FunctionBuilder, value: Array) -> Ref:
        """Returns a scalar as a constant, or as a parameter of the entry if lifted."""
        use = len(self.scalars)
        self.scalars.append(value)
        if use in self.lifted:
            return self.runtime_input(type_of(value), CapturedSource(value))
        return builder.add_constant(value)


@dataclass(frozen=True, slots=True)
class ArgumentSource:
    """A parameter that is the caller's argument leaf at a position."""

    position: int


@dataclass(frozen=True, slots=True)
class CapturedSource:
    """A parameter whose value was met while tracing."""

    value: Array


@dataclass(frozen=True, slots=True)
class FreshSource:
    """A parameter whose value is made anew for each run."""

    make: Callable[[], Array]


Source = ArgumentSource | CapturedSource | FreshSource


class FunctionBuilder:
    """One function being built.

    Attributes:
        trace: The program it belongs to.
        parent: The function whose tracing led to this one; None for the entry.
        varying: For each parameter that is no capture, whether it differs
            between the samples of the vmap that this function is for.
        arguments: For each parameter that is no capture, the outer value.
        is_closed: Whether it stands inside a function with a rule of its own,
            which captures nothing: what it reads of the outside are constants.
    """

    def __init__(
        self,
        trace: Trace,
        parent: FunctionBuilder | None,
        name: str,
        *,
        is_closed: bool = False,
    ) -> None:
        self.trace = trace
        self.parent = parent
        self.name = name
        self.is_closed: bool = is_closed or (parent is not None and parent.is_closed)
        self._may_capture = not is_closed
        self.typer = FunctionTyper(UNFINISHED, trace.infos)
        self.params: list[int] = []
        self.varying: dict[int, bool] = {}
        self.arguments: dict[int, Ref] = {}
        self.captures: dict[Ref, int] = {}
        self.finished = False
        self._constants: list[Constant] = []
        self._nodes: list[Node] = []
        self._lines: list[Line] = []
        self._next_id = 0

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes so far."""
        return self._nodes

    def add_param(self, tensor_type: TensorType) -> Ref:
        """Adds a parameter."""
        ref = self._new_ref()
        self.typer.define(ref.id, tensor_type, f"params[{len(self.params)}]")
        self.params.append(ref.id)
        return ref

    def add_constant(self, value: Array) -> Ref:
        """Adds a constant."""
        ref = self._new_ref()
        value = np.array(value, order="C")
        value.flags.writeable = False
        self.typer.define(ref.id, type_of(value), f"constants[{len(self._constants)}]")
        self._constants.append(Constant(ref.id, value))
        return ref

    def emit(
        self,
        op: str,
        inputs: Sequence[Ref],
        attrs: dict[str, Any] | None = None,
        functions: Sequence[int] = (),
    ) -> list[Ref]:
        """Adds a node and returns its outputs.

        Raises:
            GradwireError: the op's rule refuses it; the message ends with the
                caller's line.
        """
        ids = tuple(self.read(ref) for ref in inputs)
        line = caller_line()
        # The rule determines the number of outputs, so they get their ids after it.
        node = Node(op, ids, (), dict(sorted((attrs or {}).items())), tuple(functions))
        try:
            call, types = self.typer.infer(node)
        except GradwireError as error:
            error.message = f"{_without_place(error.message)} (at {line})"
            error.args = (error.message,)
            raise
        refs = [self._new_ref() for _ in types]
        node = Node(op, ids, tuple(ref.id for ref in refs), node.attrs, node.functions)
        self.typer.add(node, call, types)
        self._nodes.append(node)
        self._lines.append(line)
        return refs

    def read(self, ref: Ref) -> int:
        """Returns the id under which this function reads a value.

        Raises:
            TraceError: the value belongs to a function that is finished.
        """
        if ref.builder is self:
            return ref.id
        if ref in self.captures:
            return self.captures[ref]
        if not self._may_capture:
            raise TraceError(
                "a function with a derivative of its own, or its rule, must not capture a traced "
                f"value; pass it as an argument (at {caller_line()})"
            )
        if self.parent is None or ref.builder.finished:
            raise TraceError(
                "a traced value must not be used after the function that made it has "
                f"returned; return it from that function instead (at {caller_line()})"
            )
        self.parent.read(ref)
        param = self._new_ref()
        self.typer.define(param.id, ref.type, "captures")
        self.captures[ref] = param.id
        return param.id

    def finish(self, results: Sequence[Ref]) -> Function:
        """Closes the function; captured parameters stand first."""
        ids = tuple(self.read(ref) for ref in results)
        self.finished = True
        types = self.typer.types
        return Function(
            self.name,
            tuple(Param(name, types[name]) for name in (*self.captures.values(), *self.params)),
            tuple(self._constants),
            tuple(self._nodes),
            ids,
        )

    def add_to_program(self, results: Sequence[Ref]) -> int:
        """Closes the function, adds it to the program and returns its index."""
        function = self.finish(results)
        self.trace.functions.append(function)
        self.trace.infos.append(self.typer.finish(function))
        self.trace.lines.append(tuple(self._lines))
        return len(self.trace.functions) - 1

    def _new_ref(self) -> Ref:
        if self.finished:
            raise TraceError("a function that has returned can't grow")
        self._next_id += 1
        return Ref(self, self._next_id - 1)


def _without_place(message: str) -> str:
    """Drops the node's number from a message: the caller's line says more."""
    return message.split("): ", 1)[-1] if message.startswith("`functions[") else message


_active = threading.local()


def active_builder() -> FunctionBuilder | None:
    """Returns the function that is being traced by this thread, if any."""
    return getattr(_active, "builder", None)


@contextmanager
def building(builder: FunctionBuilder) -> Iterator[FunctionBuilder]:
    """Makes a function the one that is being traced."""
    outer = active_builder()
    _active.builder = builder
    try:
        yield builder
    finally:
        _active.builder = outer
