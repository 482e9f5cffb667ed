"""Random steps of a random program: one op of the table each, without functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.program_writer import FLOAT, MAX_BOUND, SHAPES, Body, Value
from gradwire.opset.core import At, ByArray, NewAxis, Range


class ArraySteps(Body):
    """A function that is being written, and the steps that compute arrays."""

    def unary(self) -> Value:
        x = self.newest()
        op, domain, bound = self.writer.pick(UNARY)
        if domain == "positive":
            y = self.positive(x)
            if op == "acosh":
                y = self.op("add", y, self.constant(0.7), bound=y.bound + 0.7)
            order = {"n": self.writer.integer(0, 2)} if op == "special.polygamma" else {}
            return self.op(op, y, bound=bound(y.bound), **order)
        if domain == "inside":
            return self.op(op, self.inside(x), bound=bound(0.9))
        if domain == "unit":
            half = self.op("multiply", self.inside(x), self.constant(0.5), bound=0.45)
            unit = self.op("add", half, self.constant(0.5), bound=0.95)
            return self.op(op, unit, bound=bound(0.95))
        attrs: dict[str, Any] = {}
        if op == "integer_pow":
            attrs = {"exponent": self.writer.integer(0, 3)}
        if op == "nn.gelu":
            attrs = {"approximate": self.writer.chance(2)}
        return self.op(op, x, bound=bound(x.bound), **attrs)

    def binary(self) -> Value:
        x = self.newest()
        y = self.partner(x)
        if self.writer.chance(2):
            x, y = y, x
        b, c = x.bound, y.bound
        op = self.writer.pick(BINARY)
        if op in (
            "divide",
            "remainder",
            "fmod",
            "floor_divide",
            "special.xlogy",
            "special.xlog1py",
        ):
            y = self.positive(y)
            bound = {"divide": 2 * b, "remainder": y.bound, "fmod": b}.get(op, b * 3)
        elif op in ("pow", "hypot", "atan2"):
            x = self.positive(x)
            bound = {"pow": x.bound**c, "hypot": x.bound + c, "atan2": 4.0}[op]
            if op == "atan2":
                x, y = y, x
        elif op in ("special.betaln", "special.gammainc"):
            x, y = self.positive(x), self.positive(y)
            if op == "special.gammainc":
                # Derivatives by the first argument are not the interpreter's.
                x = self.op("stop_gradient", x, bound=x.bound)
            bound = x.bound * 3
        else:
            bound = b * c if op == "multiply" else b + c
        return self.op(op, x, y, bound=bound)

    def partner(self, x: Value) -> Value:
        """A value that broadcasts with x."""
        keeps = self.writer.integer(0, 3)
        if keeps == 0:
            return self.fit(())
        if keeps == 1 and x.type.ndim > 1:
            return self.fit(x.shape[1:])
        if keeps == 2 and x.type.ndim:
            return self.fit((*x.shape[:-1], 1))
        return self.fit(x.shape)

    def axes(self, x: Value) -> tuple[int, ...]:
        """Some of the axes, at least one if there is one, negative at times."""
        chosen = [a for a in range(x.type.ndim) if self.writer.chance(2)] or [0][: x.type.ndim]
        return tuple(a - x.type.ndim if self.writer.chance(3) else a for a in chosen)

    def axis(self, x: Value) -> int:
        return self.writer.integer(-x.type.ndim, x.type.ndim - 1)

    def reduce(self) -> Value:
        x = self.ranked(1, 2, 3)
        op = self.writer.pick(REDUCTIONS)
        if op.startswith("cumulative"):
            grown = x.bound**3 if op == "cumulative_prod" else 3 * x.bound
            return self.op(op, x, bound=grown, axis=self.axis(x))
        axes = self.axes(x)
        count = int(np.prod([x.shape[a] for a in axes]))
        attrs: dict[str, Any] = {"axis": axes, "keepdims": self.writer.chance(2)}
        if op in ("var", "std"):
            attrs["correction"] = float(self.writer.integer(0, count - 1)) if count > 1 else 0.0
        if op == "std":
            # Away from the root's branch point: one element has no spread at all.
            y = self.op("add", x, self.constant(4.0 * np.arange(x.type.size).reshape(x.shape)))
            return self.op(op, y, bound=30.0, **attrs) if count > 1 else self.tame(y)
        if op == "linalg.vector_norm":
            return self.op(op, self.positive(x), bound=x.bound**2 * count, **attrs)
        if op == "prod" and count > 4:
            op = "sum"
        bound = x.bound ** max(count, 2) if op in ("prod", "var") else x.bound * count
        return self.op(op, x, bound=bound, **attrs)

    def reshape(self) -> Value:
        x, w = self.newest(), self.writer
        ndim = x.type.ndim
        op = w.pick(("reshape", "expand_dims", "permute_dims", "broadcast_to", "tile", "squeeze"))
        if op == "reshape":
            size = x.type.size
            shapes = [(size,), (1, size), (size, 1), *(s for s in SHAPES if np.prod(s) == size)]
            return self.op(op, x, bound=x.bound, shape=w.pick(shapes))
        if op == "expand_dims" and ndim < 3:
            return self.op(op, x, bound=x.bound, axis=(w.integer(-ndim - 1, ndim),))
        if op == "squeeze" and 1 in x.shape:
            return self.op(op, x, bound=x.bound, axis=(x.shape.index(1),))
        if op == "broadcast_to" and ndim < 3:
            return self.op(op, x, bound=x.bound, shape=(2, *x.shape))
        if op == "tile" and x.type.size <= 6:
            times = (2, 1) if w.chance(2) else (1,) * max(ndim - 1, 0) + (2,)
            return self.op(op, x, bound=x.bound, repetitions=times)
        order = list(range(ndim))
        if ndim:
            first = w.integer(0, ndim - 1)
            order = order[first:] + order[:first]
        return self.op("permute_dims", x, bound=x.bound, axes=tuple(order))

    def move(self) -> Value:
        x, w = self.ranked(1, 2, 3), self.writer
        op = w.pick(("flip", "roll", "repeat", "pad", "sort", "tril", "diag", "top_k", "sort"))
        if op == "flip":
            return self.op(op, x, bound=x.bound, axis=self.axes(x))
        if op == "roll":
            return self.op(op, x, bound=x.bound, axis=(self.axis(x),), shift=(w.integer(-2, 2),))
        if op == "repeat" and x.type.size <= 6:
            return self.op(op, x, bound=x.bound, axis=self.axis(x), repeats=2)
        if op == "pad" and x.type.size <= 6:
            mode = w.pick(("constant", "edge", "wrap", "symmetric"))
            widths = tuple(w.integer(0, 1) for _ in range(2 * x.type.ndim))
            inputs = [x, self.fit(())] if mode == "constant" and w.chance(2) else [x]
            return self.op(op, *inputs, bound=MAX_BOUND, pad_width=widths, mode=mode)
        if op == "tril" and x.type.ndim >= 2:
            return self.op(w.pick(("tril", "triu", "matrix_transpose")), x, bound=x.bound)
        if op == "diag" and x.type.size <= 3:
            return self.op(op, x, bound=x.bound, k=w.integer(-1, 1))
        if op == "top_k" and x.shape[-1]:
            k = w.integer(1, x.shape[-1])
            return self.several(op, [x], x.bound, k=k)[0]
        descending = w.chance(2)
        return self.op("sort", x, bound=x.bound, axis=self.axis(x), descending=descending)

    def join(self) -> Value:
        x, w = self.ranked(1, 2), self.writer
        op = w.pick(("concat", "stack", "split", "unstack", "where", "full", "linspace"))
        if op in ("concat", "stack") and x.type.size <= 6:
            axis = w.integer(0, x.type.ndim - (op == "concat"))
            return self.op(op, x, self.fit(x.shape), bound=MAX_BOUND, axis=axis)
        if op == "split":
            axis = self.axis(x)
            cut = w.integer(0, x.shape[axis] - 1)
            return self.several(op, [x], x.bound, axis=axis, indices=(cut,))[1]
        if op == "unstack":
            return w.pick(self.several(op, [x], x.bound, axis=self.axis(x)))
        if op == "full":
            return self.op(op, self.fit(()), bound=MAX_BOUND, shape=(2, 2))
        if op == "linspace":
            return self.op(op, self.fit(()), self.fit(()), bound=MAX_BOUND, num=3)
        return self.choose()

    def choose(self) -> Value:
        x, w = self.newest(), self.writer
        y = self.fit(x.shape)
        compare = w.pick(COMPARISONS)
        mask = self.op(compare, x, self.random(x.shape))
        if w.chance(3):
            mask = self.op("logical_not", mask)
        if w.chance(3):
            mask = self.op(w.pick(("logical_and", "logical_or")), mask, self.op("less", x, y))
        if w.chance(4) and x.type.ndim:
            mask = self.op(w.pick(("any", "all")), mask, axis=(0,), keepdims=True)
        op = w.pick(("where", "where", "clip", "stop_gradient", "interp", "astype", "searchsorted"))
        if op == "astype":
            count = self.op("count_nonzero", mask, axis=(), keepdims=False)
            factor = self.op("astype", count, bound=1.0, dtype=FLOAT)
            return self.op("multiply", x, factor, bound=x.bound)
        if op == "searchsorted":
            knots = self.constant(np.array([-0.8, 0.1, 0.7]))
            place = self.op(op, knots, x, side=w.pick(("left", "right")))
            return self.op("take", self.fit((4,)), place, bound=MAX_BOUND, axis=0)
        if op == "clip":
            low, high = self.constant(-0.77), self.fit(())
            return self.op(op, x, low, self.positive(high), bound=x.bound)
        if op == "stop_gradient":
            fixed = self.op(op, y, bound=y.bound)
            return self.op("multiply", x, fixed, bound=x.bound * y.bound)
        if op == "interp":
            knots = self.constant(np.array([-1.1, -0.3, 0.2, 0.9]))
            return self.op(op, x, knots, self.fit((4,)), bound=MAX_BOUND)
        return self.op("where", mask, x, y, bound=MAX_BOUND)

    def positions(self, length: int) -> Value:
        """A constant of positions, some from the end, some outside."""
        places = [self.writer.integer(-length, length) for _ in range(self.writer.integer(1, 3))]
        return self.constant(np.array(places))

    def index(self) -> Value:
        x, w = self.ranked(1, 2), self.writer
        op = w.pick(
            ("getitem", "array", "take", "take_along_axis", "dynamic_slice", "argmax", "argmin")
        )
        if op == "take":
            axis = self.axis(x)
            return self.op(op, x, self.positions(x.shape[axis]), bound=x.bound, axis=axis)
        if op == "take_along_axis":
            axis = self.axis(x)
            order = self.op("argsort", self.fit(x.shape), axis=axis)
            return self.op(op, x, order, bound=x.bound, axis=axis)
        if op == "dynamic_slice":
            starts = [self.constant(np.int64(w.integer(-1, n))) for n in x.shape]
            sizes = tuple(w.integer(1, n) for n in x.shape)
            return self.op(op, x, *starts, bound=x.bound, slice_sizes=sizes)
        if op == "array":
            index = (
                (ByArray(),)
                if w.chance(2)
                else (Range(None, None, -1),) * (x.type.ndim - 1) + (ByArray(),)
            )
            length = x.shape[0 if index[0] == ByArray() else -1]
            return self.op("getitem", x, self.positions(length), bound=x.bound, index=index)
        if op.startswith("arg"):
            place = self.op(op, self.fit(x.shape), axis=0)
            return self.op("getitem", x, place, bound=x.bound, index=(ByArray(),))
        return self.op("getitem", x, bound=x.bound, index=self.static_index(x))

    def static_index(self, x: Value) -> tuple[Any, ...]:
        items: list[Any] = []
        for length in x.shape:
            kind = self.writer.integer(0, 3)
            if kind == 0:
                items.append(Range(None, None, None))
            elif kind == 1:
                items.append(At(self.writer.integer(-length, length - 1)))
            elif kind == 2:
                items.append(Range(None, None, self.writer.pick((-1, 2))))
            else:
                items += [NewAxis(), Range(self.writer.integer(0, length - 1), None, None)]
        return tuple(items)

    def update(self) -> Value:
        x, w = self.ranked(1, 2), self.writer
        index = (At(w.integer(-x.shape[0], x.shape[0] - 1)),)
        op = w.pick(("set", "add", "multiply", "max", "min"))
        value = self.fit(x.shape[1:])
        if w.chance(4):
            starts = [self.constant(np.int64(w.integer(-1, n))) for n in x.shape]
            corner = self.fit((1,) * x.type.ndim)
            return self.op("dynamic_update_slice", x, corner, *starts, bound=MAX_BOUND)
        if op == "add" and w.chance(2):
            places = self.positions(x.shape[0])
            return self.op("index_add", x, value, places, bound=10.0, index=(ByArray(),))
        return self.op(f"index_{op}", x, value, bound=10.0, index=index)

    def contract(self) -> Value:
        x, w = self.ranked(1, 2), self.writer
        op = w.pick(("matmul", "matmul", "outer", "einsum", "tensordot", "vecdot", "kron", "cross"))
        n = x.shape[-1]
        bound = 9 * x.bound
        if op == "outer" and x.type.ndim == 1:
            return self.op(op, x, self.fit((2,)), bound=bound)
        if op == "einsum" and x.type.ndim == 2:
            a, b = x.shape
            third = [self.fit((b,))] if w.chance(2) else []
            text = "ab,cb,b->ac" if third else "ab,ab->b"
            other = self.fit((2, b) if third else (a, b))
            return self.op(op, x, other, *third, bound=3 * bound, subscripts=text)
        if op == "tensordot":
            return self.op(op, x, self.fit((2, n)), bound=bound, x_axes=(-1,), y_axes=(1,))
        if op == "vecdot":
            return self.op(op, x, self.fit((n,)), bound=bound, axis=-1)
        if op == "kron" and x.type.size <= 3:
            return self.op(op, x, self.fit((2,) * x.type.ndim), bound=bound)
        if op == "cross" and n == 3:
            return self.op(op, x, self.fit((3,)), bound=bound, axis=-1)
        shape = w.pick(((n,), (n, 2), (2, n, 1)))
        return self.op("matmul", x, self.fit(shape), bound=bound)

    def solve(self) -> Value:
        op = self.writer.pick(
            ("eye", "inv", "det", "slogdet", "solve", "cholesky", "expm", "trace", "diagonal",
             "matrix_power", "solve_triangular", "toeplitz")
        )  # fmt: skip
        name = f"linalg.{op}"
        if op == "toeplitz":
            return self.op(name, self.fit((2,)), self.fit((3,)), bound=MAX_BOUND)
        if op == "eye":
            unit = self.op("eye", dtype=FLOAT, n_rows=2, n_cols=3, k=self.writer.integer(-1, 1))
            return self.op("multiply", unit, self.fit((3,)), bound=MAX_BOUND)
        if op == "expm":
            return self.op(name, self.matrix(0.0), bound=30.0)
        a = self.matrix(4.0)
        n = a.shape[0]
        if op == "cholesky":
            return self.op(name, a, bound=MAX_BOUND, upper=self.writer.chance(2))
        if op in ("solve", "solve_triangular"):
            b = self.fit(self.writer.pick(((n,), (n, 2))))
            lower = {"lower": self.writer.chance(2)} if op == "solve_triangular" else {}
            return self.op(name, a, b, bound=MAX_BOUND, **lower)
        if op == "slogdet":
            return self.several(name, [a], 5.0)[1]
        power = {"n": self.writer.integer(-2, 3)} if op == "matrix_power" else {}
        return self.op(name, a, bound=100.0, **power)

    def activate(self) -> Value:
        x = self.ranked(1, 2, 3)
        op = self.writer.pick(("nn.softmax", "nn.log_softmax", "attention"))
        if op == "attention":
            q, k, v = (self.fit((2, 1, 2)) for _ in range(3))
            causal = self.writer.chance(2)
            return self.op(
                "nn.dot_product_attention", q, k, v, bound=MAX_BOUND, scale=0.7, is_causal=causal
            )
        return self.op(op, x, bound=2 * x.bound + 2, axis=(self.axis(x),))


_same = lambda b: b  # noqa: E731
_one = lambda b: 1.6  # noqa: E731
_exp = lambda b: float(np.exp(b))  # noqa: E731
_more = lambda b: b + 1.0  # noqa: E731

UNARY: tuple[tuple[str, str, Callable[[float], float]], ...] = (
    *((op, "", _one) for op in (
        "sin", "cos", "tanh", "atan", "asinh", "special.erf", "special.erfc", "special.expit",
        "special.ndtr", "special.i0e", "sign", "floor",
    )),
    *((op, "", _same) for op in (
        "abs", "negative", "nn.relu", "nn.elu", "nn.leaky_relu", "nn.silu", "nn.gelu", "nn.mish",
    )),
    *((op, "", _more) for op in ("nn.softplus", "nn.log_sigmoid", "nn.selu", "round", "trunc")),
    *((op, "", _exp) for op in ("exp", "expm1", "exp2", "sinh", "cosh", "special.i0")),
    ("square", "", lambda b: b * b),
    ("integer_pow", "", lambda b: b**3),
    ("special.log_ndtr", "", lambda b: b * b + 1),
    *((op, "positive", lambda b: 3.0) for op in (
        "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "cbrt", "special.digamma",
        "ceil",
    )),
    *((op, "positive", lambda b: 30.0) for op in (
        "special.gammaln", "special.entr", "acosh", "special.polygamma",
    )),
    ("special.i1", "positive", _exp),
    *((op, "inside", _one) for op in ("asin", "acos", "atanh", "tan", "special.erfinv")),
    *((op, "unit", lambda b: 3.0) for op in ("special.logit", "special.ndtri")),
)  # fmt: skip
"""Op, what its operand is brought into, and the bound of its result."""

BINARY = (
    "add", "subtract", "multiply", "multiply", "maximum", "minimum", "divide", "atan2", "hypot",
    "logaddexp", "pow", "remainder", "fmod", "floor_divide", "copysign", "special.xlogy",
    "special.xlog1py",
    "special.betaln", "special.gammainc",
)  # fmt: skip

COMPARISONS = ("less", "greater_equal", "not_equal", "equal", "greater", "less_equal")

REDUCTIONS = (
    "sum", "mean", "max", "min", "prod", "var", "std", "logsumexp", "linalg.vector_norm",
    "cumulative_sum", "cumulative_prod", "cumulative_max", "cumulative_min",
    "cumulative_logsumexp",
)  # fmt: skip
