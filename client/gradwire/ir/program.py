"""A program in memory: plain values, as the proto's messages of the same names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradwire.opset.core import OPSET_VERSION, AttrValue
from gradwire.tensors import Array, TensorType


@dataclass(frozen=True, slots=True)
class Node:
    """One operation. See function.proto."""

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attrs: Mapping[str, AttrValue] = field(default_factory=dict)
    functions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a function."""

    id: int
    type: TensorType


@dataclass(frozen=True, slots=True)
class Constant:
    """One constant of a function."""

    id: int
    value: Array


@dataclass(frozen=True, slots=True)
class Function:
    """A closed function. See function.proto."""

    name: str
    params: tuple[Param, ...]
    constants: tuple[Constant, ...]
    nodes: tuple[Node, ...]
    results: tuple[int, ...]
    custom_jvp: int | None = None
    custom_vjp: tuple[int, int] | None = None

    @property
    def rules(self) -> tuple[int, ...]:
        """The functions that define its derivative; none if it has no custom rule."""
        own = () if self.custom_jvp is None else (self.custom_jvp,)
        return own + (self.custom_vjp or ())


@dataclass(frozen=True, slots=True)
class Program:
    """A complete program. Nodes only use functions before their own."""

    functions: tuple[Function, ...]
    entry: int
    mapped: tuple[bool, ...]
    opset: int = OPSET_VERSION
