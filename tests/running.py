"""Runs sketched programs on JAX, in double precision, and takes finite differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from gradwire.ir import TypedProgram
from gradwire_server.compiler.derivatives import OPERATORS
from gradwire_server.compiler.lowering import LOWERINGS, lower_function
from gradwire_server.compiler.rewriting import rewrite_program
from sketch import Sketch, Value, several, type_of

Array = NDArray[Any]

jax.config.update("jax_enable_x64", True)


def lowered(typed: TypedProgram) -> Callable[..., list[Any]]:
    """Returns the entry as a JAX function."""
    typed = rewrite_program(typed)
    return lower_function(typed, typed.program.entry, {**LOWERINGS, **OPERATORS})


@dataclass(frozen=True)
class Use:
    """One operator as it is applied to a function."""

    name: str
    attrs: Mapping[str, Any]
    extras: Sequence[Any]
    outputs: int


def use(name: str, *extras: Any, outputs: int = 2, **attrs: Any) -> Use:
    """An operator with tangents, cotangents, probes or a seed, and attributes."""
    return Use(name, attrs, extras, outputs)


def apply_all(
    write: Callable[..., Any], arguments: Sequence[Any], *uses: Use, jit: bool = True
) -> list[list[Array]]:
    """Applies operators to one function at one point, in one program."""
    sketch = Sketch()
    callee = sketch.add([type_of(x) for x in arguments], write)
    inputs = [np.asarray(x) for x in (*arguments, *(x for u in uses for x in u.extras))]

    def entry(*operands: Value) -> Any:
        results: list[Value] = []
        first = len(arguments)
        for u in uses:
            own = (*operands[: len(arguments)], *operands[first : first + len(u.extras)])
            first += len(u.extras)
            results += several(u.name, *own, functions=[callee], outputs=u.outputs, **u.attrs)
        return results

    sketch.add([type_of(x) for x in inputs], entry)
    outputs = run(sketch, *inputs, jit=jit)
    answers = []
    for u in uses:
        answers.append(outputs[: u.outputs])
        outputs = outputs[u.outputs :]
    return answers


def apply(
    name: str,
    write: Callable[..., Any],
    arguments: Sequence[Any],
    *extras: Any,
    outputs: int = 2,
    jit: bool = True,
    **attrs: Any,
) -> list[Array]:
    """Applies one operator to a function at a point."""
    return apply_all(write, arguments, use(name, *extras, outputs=outputs, **attrs), jit=jit)[0]


def run(sketch: Sketch, *inputs: Any, jit: bool = True) -> list[Array]:
    """Runs the function that was added last."""
    entry = lowered(sketch.typed())
    answers = (jax.jit(entry) if jit else entry)(*(np.asarray(x) for x in inputs))
    return [np.asarray(answer) for answer in answers]


def close(got: Any, wanted: Any, tolerance: float = 1e-10) -> None:
    """Asserts that shapes and, to the tolerance, values are those wanted.

    A scalar wanted stands for any shape full of it.
    """
    if np.ndim(wanted):
        assert np.shape(got) == np.shape(wanted)
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


def differences(f: Callable[[Array], Array], x: Array, step: float) -> Array:
    """The Jacobian ``(*out, *in)`` by central differences of fourth order."""
    columns = []
    for index in np.ndindex(x.shape):
        unit = np.zeros_like(x)
        unit[index] = step
        near, far = f(x + unit) - f(x - unit), f(x + 2 * unit) - f(x - 2 * unit)
        columns.append((8 * near - far) / (12 * step))
    if not columns:
        return np.zeros((*np.shape(f(x)), *x.shape))
    return np.stack(columns, -1).reshape(np.shape(columns[0]) + x.shape)
