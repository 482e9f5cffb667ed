"""Programs that once killed or blocked a server, or took most of its time and memory.

Each comes in variants that differ in a constant, so that no two are one plan. Run as a
program, this sends one killer's variants at the same time, as one caller.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import gradwire as gw
from gradwire.ir import Program, encode_program
from programs import COUNT, SCALAR, chain, function, nested, node, program, vector
from sketch import Sketch, Value, op, several, total

FLOAT = np.dtype("float64")
INT = np.dtype("int64")
Write = Callable[[int], tuple[Program | bytes, Sequence[Any]]]


@dataclass(frozen=True)
class Killer:
    """One killer.

    Attributes:
        name: For the test's id.
        write: Makes a variant: a program, or bytes, and its inputs.
        ends: Whether it may have an answer, where it is fast enough.
        in_short: Whether the short test sends it.
    """

    name: str
    write: Write
    ends: bool = False
    in_short: bool = False


def _of(write: Callable[..., Any], *inputs: Any) -> tuple[Program, Sequence[Any]]:
    """A program of one function with these inputs."""
    arrays = [np.asarray(value) for value in inputs]
    sketch = Sketch()
    sketch.add([vector(*array.shape, dtype=array.dtype) for array in arrays], write)
    return sketch.program(), arrays


# --- long to compile ---


def _sixth_derivative(variant: int) -> tuple[Program, Sequence[Any]]:
    """The derivative of order 6 of as many nodes as may be differentiated so often."""
    functions = [chain("tanh" if variant else "sin", 40, SCALAR)]
    for level in range(6):
        outer = node("grad", [0], 1, 2, functions=[level])
        functions.append(function([SCALAR], outer, results=[2]))
    return program(*functions), [np.array(0.5)]


def _nested_conditions(depth: int, *, doubling: bool) -> Write:
    """Choices in choices: in both branches, or in one."""

    def write(variant: int) -> tuple[Program, Sequence[Any]]:
        sketch = Sketch()
        leaf = last = sketch.add([SCALAR], lambda x: op("sin", x) * (1.0 + variant))
        for _ in range(depth):

            def choose(x: Value, last: int = last) -> Value:
                branches = [last, last if doubling else leaf]
                return op("cond", op("greater", x, 0.1), x, functions=branches)

            last = sketch.add([SCALAR], choose)
        return sketch.program(), [np.array(0.5)]

    return write


def _unstacked(variant: int) -> tuple[Program, Sequence[Any]]:
    def write(x: Value) -> Value:
        parts = several("unstack", x, outputs=4096, axis=0)
        return op("stack", *[op("sin", part * (2.0 + variant)) for part in parts], axis=0)

    return _of(write, np.ones(4096))


def _sorted_constant(variant: int) -> tuple[Program, Sequence[Any]]:
    values = np.random.default_rng(variant).standard_normal(2**17)  # 1 MiB

    def write(x: Value) -> Value:
        constant = Value(x.body, x.body.number(values))
        return op("sort", constant, axis=0) * x

    return _of(write, 0.5)


def _folded_sort(variant: int) -> tuple[Program, Sequence[Any]]:
    """Nothing in it depends on an input but the last sum."""

    def write(x: Value) -> Value:
        values = op("sin", _iota(x, 2**20) * (1.0 + variant))
        return total(op("sort", values, axis=0), 0) + x

    return _of(write, 0.5)


def _iota(x: Value, *shape: int) -> Value:
    (number,) = [x.body.new()]
    x.body.nodes.append(node("iota", [], number, dtype=FLOAT, shape=shape, axis=0))
    return Value(x.body, number)


def _pooled(variant: int) -> tuple[Program, Sequence[Any]]:
    def write(x: Value) -> Value:
        wide = op("broadcast_to", x, shape=(1, 1, 2**20))
        pool = {"window": (2**30,), "strides": (2**26,), "padding": (2**30 - 1, 2**29 + variant)}
        return op("nn.avg_pool", wide, **pool)

    return _of(write, 0.5)


def _pooled_iota(variant: int) -> tuple[Program, Sequence[Any]]:
    def write(x: Value) -> Value:
        values = op("reshape", _iota(x, 2**20), shape=(1, 1, 2**20))
        pool = {"window": (2**15,), "strides": (1,), "padding": (0, variant)}
        return total(op("nn.max_pool", values, **pool), 0, 1, 2) + x

    return _of(write, 0.5)


def _many_nodes(count: int) -> Write:
    def write(variant: int) -> tuple[Program, Sequence[Any]]:
        return program(chain("sin" if variant else "tanh", count, SCALAR)), [np.array(0.5)]

    return write


def _nested_derivatives(variant: int) -> tuple[Program, Sequence[Any]]:
    return nested("hessian", 3, 2, base=24 + variant), [np.array(0.5)]


# --- long, or for ever, to run ---


def _loop(until: float, step: float) -> Write:
    """A loop whose end only its values tell."""

    def write(variant: int) -> tuple[Program, Sequence[Any]]:
        sketch = Sketch()
        condition = sketch.add([SCALAR], lambda y: op("less", y, until + variant))
        body = sketch.add([SCALAR], lambda y: y * 0.5 + step)
        sketch.add([SCALAR], lambda y: op("while_loop", y, functions=[condition, body]))
        return sketch.program(), [np.array(1.0)]

    return write


def _counted_loop(variant: int) -> tuple[Program, Sequence[Any]]:
    sketch = Sketch()
    condition = sketch.add([COUNT], lambda i: op("less", i, np.int64(10**18 + variant)))
    body = sketch.add([COUNT], lambda i: i + np.int64(1))
    sketch.add([COUNT], lambda i: op("while_loop", i, functions=[condition, body]))
    return sketch.program(), [np.int64(0)]


def _nested_loops(variant: int) -> tuple[Program, Sequence[Any]]:
    """As many steps as all loops together may have."""
    sketch = Sketch()
    last = sketch.add([COUNT, SCALAR], lambda _, x: op("sin", x + (1.0 + variant)))
    for _ in range(3):
        looped = {"lower": 0, "upper": 10**3}
        last = sketch.add(
            [COUNT, SCALAR],
            lambda _, x, last=last, looped=looped: op("fori_loop", x, functions=[last], **looped),
        )
    sketch.add([SCALAR], lambda x: op("call", np.int64(0), x, functions=[last]))
    return sketch.program(), [np.array(0.5)]


def _product(n: int) -> Write:
    def write(variant: int) -> tuple[Program, Sequence[Any]]:
        def of(x: Value) -> Value:
            a = op("sin", op("broadcast_to", x, shape=(n, n)) + op("reshape", _iota(x, n),
                                                                   shape=(n, 1)))  # fmt: skip
            return total(a @ a @ (a + float(variant)), 0, 1)

        return _of(of, 0.5)

    return write


def _factor(name: str, n: int, **attrs: Any) -> Write:
    """A factorisation of a matrix that is made on the server."""

    def write(variant: int) -> tuple[Program, Sequence[Any]]:
        def of(x: Value) -> Value:
            rows = op("reshape", _iota(x, n), shape=(n, 1))
            near = op("exp", -op("square", rows - op("reshape", rows, shape=(1, n))) * 0.01)
            return total(op(name, near + x + float(variant), **attrs), 0, 1)

        return _of(of, 0.5)

    return write


def _special(name: str, *arguments: float) -> Write:
    def write(variant: int) -> tuple[Program, Sequence[Any]]:
        points = [np.full(10_000, argument) for argument in arguments]
        return _of(lambda *xs: total(op(name, *xs), 0) * (1.0 + variant), *points)

    return write


def _infinite(name: str, outputs: int, n: int = 64) -> Write:
    """LAPACK's iterations on a matrix with an infinity, which must not reach them."""

    def write(variant: int) -> tuple[Program, Sequence[Any]]:
        a = np.random.default_rng(0).standard_normal((n, n))
        a[1, 3] = np.inf
        return _of(lambda x: several(name, x * (1.0 + variant), outputs=outputs), a)

    return write


def _padded_convolution(low: int, high: int) -> Write:
    def write(variant: int) -> tuple[Program, Sequence[Any]]:
        conv = {"strides": (1,), "padding": (low, high + variant), "dilation": (1,)}
        return _of(lambda x, w: op("nn.conv", x, w, **conv), np.ones((1, 1, 5)), np.ones((1, 1, 2)))

    return write


# --- refused for their size ---


def _too_large(variant: int) -> tuple[Program, Sequence[Any]]:
    return _of(
        lambda x: total(op("broadcast_to", x, shape=(2**15 + variant, 2**15, 8)), 0, 1, 2), 0.5
    )


def _memory(variant: int) -> tuple[Program, Sequence[Any]]:
    """Sorts a gigabyte, beside others that it still needs."""

    def write(x: Value) -> Value:
        n = 2**27 + variant
        wide = op("sin", op("broadcast_to", x, shape=(n,)) * _iota(x, n))
        return total(op("sort", wide, axis=0) * wide, 0)

    return _of(write, 0.5)


def _empty_functions(variant: int) -> tuple[Program, Sequence[Any]]:
    return program(*[function([], results=[])] * (4096 + variant)), []


def _empty_messages(variant: int) -> tuple[bytes, Sequence[Any]]:
    data, tag = encode_program(program(chain("sin", 1, SCALAR))), b"\x12\x00"
    return data + tag * (2**20 + variant), [np.array(0.5)]


KILLERS = [
    Killer("sixth derivative", _sixth_derivative, in_short=True),
    Killer("nested conditions", _nested_conditions(12, doubling=True), ends=True),
    Killer("unstack of 4096", _unstacked, ends=True),
    Killer("sort of a constant", _sorted_constant, ends=True),
    Killer("sort of an iota", _folded_sort, ends=True),
    Killer("pool of 2^30", _pooled, ends=True),
    Killer("pool of an iota", _pooled_iota, ends=True),
    Killer("4000 nodes", _many_nodes(4000), ends=True),
    Killer("19000 nodes", _many_nodes(19_000), ends=True),
    Killer("nested Hessians", _nested_derivatives, ends=True),
    Killer("endless loop", _loop(1e9, 1.0), in_short=True),
    Killer("loop of NaN", _loop(1e9, -1e300)),
    Killer("10^18 steps", _counted_loop),
    Killer("10^9 steps of three loops", _nested_loops),
    Killer("matrix product", _product(6000), ends=True),
    Killer("Cholesky", _factor("linalg.cholesky", 8192), ends=True),
    Killer("Cholesky of 16000", _factor("linalg.cholesky", 16_000)),
    Killer("inverse", _factor("linalg.inv", 5000), ends=True),
    Killer("exponential", _factor("linalg.expm", 3000), ends=True),
    Killer("SVD of an infinity", _infinite("linalg.svd", 3), ends=True),
    Killer("pseudoinverse of an infinity", _infinite("linalg.pinv", 1), ends=True),
    Killer("eigenvalues of an infinity", _infinite("linalg.eig", 2), ends=True),
    Killer("incomplete gamma", _special("special.gammainc", 1e15, 1e15), ends=True),
    Killer("incomplete beta", _special("special.betainc", 1e15, 1e15, 0.5), ends=True),
    Killer("zeta", _special("special.zeta", 1.0000001, 1e-300), ends=True),
    Killer("Bessel function", _special("special.i0", 1e300), ends=True),
    Killer("padding of 4e6", _padded_convolution(0, 4_000_000), ends=True),
    Killer("padding of 6e5", _padded_convolution(600_000, 600_000), ends=True),
    Killer("2^33 elements", _too_large),
    Killer("memory", _memory, ends=True),
    Killer("empty functions", _empty_functions, ends=True),
    Killer("empty messages", _empty_messages),
    Killer("conditions nested 31 deep", _nested_conditions(31, doubling=False), ends=True),
]  # fmt: skip


def data_of(killer: Killer, variant: int) -> tuple[bytes, Sequence[Any]]:
    """A variant as it travels, and its inputs."""
    made, inputs = killer.write(variant)
    return made if isinstance(made, bytes) else encode_program(made), inputs


def _send(killer: Killer, connection: gw.Connection, variant: int, seconds: float) -> None:
    data, inputs = data_of(killer, variant)
    start = time.monotonic()
    try:
        connection.compute(data, inputs, timeout=seconds)
        outcome = "answered"
    except gw.GradwireError as error:
        outcome = type(error).__name__
        print(error, file=sys.stderr)
    print(f"{outcome} {time.monotonic() - start:.1f}", flush=True)


def main(target: str, name: str, seconds: str) -> None:
    """Sends two variants at the same time."""
    (killer,) = [killer for killer in KILLERS if killer.name == name]
    with gw.connect(target) as connection:
        threads = [
            threading.Thread(target=_send, args=(killer, connection, variant, float(seconds)))
            for variant in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
