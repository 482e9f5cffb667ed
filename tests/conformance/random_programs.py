"""A Hypothesis strategy for programs: derivatives, maps and loops of random functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.program_writer import (
    FLOAT,
    MAX_BOUND,
    SHAPES,
    Body,
    ProgramWriter,
    Value,
)
from conformance.random_array_steps import ArraySteps
from gradwire.ir import FunctionInfo, Program
from gradwire.tensors import Array, TensorType
from programs import COUNT, program, vector

MAX_ORDER = 2
"""Orders of differentiation inside the program; the tests add one."""


@dataclass(frozen=True)
class Case:
    """A program, and the seed of the point at which it is looked at."""

    program: Program
    seed: int

    def point(self) -> list[Array]:
        """Returns numbers of size 1.5 at most for the entry's parameters."""
        rng = np.random.default_rng(self.seed)
        entry = self.program.functions[self.program.entry]
        return [np.asarray(rng.uniform(-1.5, 1.5, p.type.shape)) for p in entry.params]


_SEEDS = st.integers(0, 2**20 - 1)


def random_programs(most: int, *, control: bool = True) -> st.SearchStrategy[Case]:
    """Draws programs of two functions or more, derivatives nested to depth two.

    One seed is drawn for each step, so that what fails shrinks by losing steps.

    Args:
        most: The most functions, those that loops are written for not counted,
            and the most steps of one.
        control: Whether choices and loops are used.
    """
    return st.builds(
        lambda functions, seed: write_program(functions, seed, control),
        st.lists(st.lists(_SEEDS, min_size=1, max_size=most), min_size=2, max_size=most),
        _SEEDS,
    )


def write_program(functions: Sequence[Sequence[int]], seed: int, control: bool) -> Case:
    """Writes a program with a function for each list of seeds, and a step for each seed."""
    writer = ProgramWriter(control)
    for place, seeds in enumerate(functions, 1):
        add_function(writer, seeds, final=place == len(functions))
    return Case(program(*writer.functions), seed)


def add_function(writer: ProgramWriter, seeds: Sequence[int], *, final: bool) -> int:
    """Writes a function of random steps; the final one begins with a derivative."""
    number = len(writer.functions)
    writer.reseed(number, len(seeds), seeds[0], 0)
    types = [vector(*writer.pick(SHAPES)) for _ in range(writer.integer(1, 3))]
    body = Steps(writer, types)
    for place, seed in enumerate(seeds):
        # Equal seeds, which are drawn often, give different steps at different places.
        writer.reseed(number, place, seed)
        body.step(differentiate=final and place == 0)
    first = body.newest()
    if writer.chance(2):
        both = body.op("add", body.total(body.newest()), body.total(first), bound=6.0)
        first = body.tame(both)
    results = [first, *(body.newest() for _ in range(writer.integer(0, 1)))]
    return writer.close(body, results)


class Steps(ArraySteps):
    """A function that is being written, and all its steps."""

    def step(self, *, differentiate: bool = False) -> None:
        """Adds what one random step makes; a derivative operator if asked for."""
        if differentiate:
            self.tame(self.differentiate())
            return
        steps = [
            self.unary, self.unary, self.binary, self.binary, self.reduce, self.reshape,
            self.move, self.join, self.index, self.update, self.contract, self.solve,
            self.choose, self.activate,
        ]  # fmt: skip
        if self.writer.functions:
            steps += [self.use, *[self.differentiate] * 6]
        if self.writer.control:
            steps.append(self.loop)
        self.tame(self.writer.pick(steps)())

    # --- functions ---

    def callee(self, order: int, usable: Callable[[FunctionInfo], bool] = lambda _: True) -> Any:
        """The index of a function that may be differentiated so often; None if there is none."""
        infos = self.writer.infos
        indices = [
            i
            for i, (info, size) in enumerate(zip(infos, self.writer.sizes, strict=True))
            if size.order + order <= MAX_ORDER
            and all(t.dtype == FLOAT for t in info.signature.params + info.signature.results)
            and usable(info)
        ]
        return self.writer.pick(indices[::-1]) if indices else None

    def arguments(self, index: int) -> list[Value]:
        return [self.fit(t.shape) for t in self.writer.infos[index].signature.params]

    def use(self) -> Value:
        op = self.writer.pick(("call", "checkpoint", "vmap", "vmap"))
        index = self.callee(0)
        if index is None:
            return self.unary()
        if op != "vmap":
            return self.call(op, index, self.arguments(index))
        shapes = [t.shape for t in self.writer.infos[index].signature.params]
        flags = self.flags(len(shapes))
        operands = [self.fit((2, *s) if flag else s) for s, flag in zip(shapes, flags, strict=True)]
        return self.call("vmap", index, operands, mapped=flags)

    def flags(self, count: int) -> tuple[int, ...]:
        flags = [int(self.writer.chance(2)) for _ in range(count)]
        flags[self.writer.integer(0, count - 1)] = 1
        return tuple(flags)

    def differentiate(self) -> Value:
        """Adds a derivative operator, at any of its layouts."""
        w = self.writer
        op = w.pick(tuple(DIFFERENTIALS))
        order, scalar = DIFFERENTIALS[op]
        operator = {}
        if op.endswith("estimate"):
            operator = {"operator": w.pick(("jacobian", "hessian"))}
            scalar = operator["operator"] == "hessian"
            order = 2 if scalar else 1
        square = op == "jacobian_trace" or (op.endswith("estimate") and not scalar)
        index = self.callee(
            order,
            lambda info: (
                info.signature.results[0] in info.signature.params
                if square
                else not scalar or info.signature.results[0].shape == ()
            ),
        )
        if index is None:
            return self.use()
        if op == "batched_jacobian":
            return self.batched_jacobian(index)
        params, results = (getattr(w.infos[index].signature, n) for n in ("params", "results"))
        if square:
            position = params.index(results[0])
            captures = w.integer(0, position)
            wrt: tuple[int, ...] = (position - captures,)
        else:
            captures = w.integer(0, len(params) - 1)
            free = range(len(params) - captures)
            wrt = tuple(i for i in free if w.chance(2)) or (free[-1],)
            wrt = wrt[::-1] if w.chance(3) else wrt
        num_aux = len(results) - 1 if scalar or square or w.chance(2) else 0
        attrs: dict[str, Any] = {
            "num_captures": captures, "wrt": wrt, "num_aux": num_aux, **operator,
        }  # fmt: skip
        leaves = [params[captures + i] for i in wrt]
        extras: list[TensorType] = []
        if op in ("jvp", "hvp"):
            extras = leaves
        elif op == "vjp":
            extras = list(results[: len(results) - num_aux])
        elif op.endswith("estimate"):
            attrs |= {"num_samples": w.integer(1, 3), "probes": True}
            extras = [vector(attrs["num_samples"], *leaf.shape) for leaf in leaves]
        elif op in ("jacobian", "hessian", "hessian_diagonal", "laplacian"):
            attrs["chunk"] = w.integer(0, 2)
        if op == "jacobian":
            attrs["mode"] = w.pick(("auto", "forward", "reverse"))
        if op == "laplacian":
            attrs["with_grad"] = w.chance(2)
        operands = [*self.arguments(index), *(self.fit(t.shape) for t in extras)]
        outputs = self.several(op, operands, 30.0, [index], **attrs)
        if op.endswith("estimate") and attrs["num_samples"] == 1:
            # The errors are infinite.
            outputs = [x for place, x in enumerate(outputs) if place == 1]
        return self.tame(w.pick(outputs[: len(outputs) - num_aux or None][::-1]))

    def batched_jacobian(self, index: int) -> Value:
        """Of a function that is seen to keep samples apart, since it maps over them."""
        w = self.writer
        params = w.infos[index].signature.params
        flags = self.flags(len(params))
        types = [vector(2, *t.shape) if f else t for t, f in zip(params, flags, strict=True)]
        batched = w.write(
            types,
            lambda body: body.several("vmap", body.values[:], 30.0, [index], mapped=flags),
        )
        wrt = (w.integer(0, len(params) - 1),)
        mode = w.pick(("auto", "forward", "reverse"))
        return self.call(
            "batched_jacobian", batched, self.arguments(batched), mapped=flags, wrt=wrt, mode=mode
        )

    # --- control ---

    def loop(self) -> Value:
        """Adds a choice or a loop over a function that is written for it."""
        w, x = self.writer, self.fit(self.writer.pick(((), (2,))))
        captured = self.newest()
        op = w.pick(("cond", "switch", "fori_loop", "scan", "while_loop", "map"))
        types = [captured.type, x.type]

        def run(body: Body) -> list[Value]:
            state = body.fit(x.shape)
            product = body.op("multiply", state, body.total(body.values[0]), bound=9.0)
            return [body.op(w.pick(("tanh", "sin", "atan")), product)]

        if op == "cond":
            branches = [w.write(types, run), w.write(types, run)]
            choice = self.op("less", self.total(x), self.random(()))
            inputs = [captured, captured, choice, x]
            return self.several(op, inputs, 2.0, branches, captures=(1, 1))[0]
        if op == "switch":
            branches = [w.write(t, run) for t in (types, [x.type], types)]
            choice = self.constant(np.int32(w.integer(-1, 3)))
            inputs = [captured, captured, choice, x]
            return self.several(op, inputs, 2.0, branches, captures=(1, 0, 1))[0]
        if op == "fori_loop":
            body = w.write([captured.type, COUNT, x.type], run)
            low = w.integer(-1, 2)
            bounds = {"lower": low, "upper": low + w.integer(0, 3)}
            return self.several(op, [captured, x], 2.0, [body], captures=(1,), **bounds)[0]
        if op == "while_loop":
            body = w.write(types, run)
            far = w.write(
                [x.type], lambda b: [b.op("greater", b.total(b.values[0]), b.constant(0.31))]
            )
            inputs = [captured, x]
            return self.several(
                op, inputs, MAX_BOUND, [far, body], captures=(0, 1), max_iterations=3
            )[0]
        if op == "map":
            body = w.write(types, run)
            rows = self.fit((3, *x.shape))
            size = w.integer(0, 2)
            return self.several(op, [captured, rows], 2.0, [body], captures=(1,), batch_size=size)[
                0
            ]

        def advance(body: Body) -> list[Value]:
            _, carry, row = body.values[:3]
            body.op("add", carry, row, bound=MAX_BOUND)
            return [*run(body), body.fit((2,))]

        body = w.write([*types, x.type], advance)
        attrs = {"num_carry": 1, "length": 3, "reverse": w.chance(2)}
        inputs = [captured, x, self.fit((3, *x.shape))]
        return w.pick(self.several(op, inputs, MAX_BOUND, [body], captures=(1,), **attrs))


DIFFERENTIALS = {
    "jvp": (1, False),
    "vjp": (1, False),
    "grad": (1, True),
    "jacobian": (1, False),
    "batched_jacobian": (1, False),
    "hessian": (2, False),
    "hessian_diagonal": (2, False),
    "laplacian": (2, False),
    "hvp": (2, True),
    "jacobian_trace": (1, False),
    "trace_estimate": (1, False),
    "diagonal_estimate": (1, False),
}
"""Operator: the orders it differentiates, and whether it takes scalar functions alone."""
