"""Tracing: mistakes are errors at once, with the line; in-place rules; captured values."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradwire as gw
from gradwire.trace.builder import FunctionBuilder, building
from gradwire.trace.function import trace_function
from gradwire.trace.lines import caller_line
from gradwire.trace.program import TracedProgram, trace_program
from gradwire.trace.traced import Traced
from gradwire.trace.values import current_builder
from gradwire.trees import flatten
from gradwire_server.program.verify import verify_program

X = np.linspace(0.5, 2.0, 4)
M = np.arange(12.0).reshape(3, 4)


def trace(function: Callable[..., Any], *args: Any, **options: Any) -> TracedProgram:
    """Traces a function and checks the program."""
    traced = trace_program(function, args or (X,), {}, **options)
    verify_program(traced.program)
    return traced


def ops_of(traced: TracedProgram) -> list[str]:
    """The entry's ops in order."""
    return [node.op for node in traced.program.functions[traced.program.entry].nodes]


def results_of(traced: TracedProgram) -> list[int]:
    """The ids of the entry's results, in the order of the leaves."""
    entry = traced.program.functions[traced.program.entry]
    return [entry.results[result] for result in traced.results]  # type: ignore[index]


def _branch(x: Any) -> Any:
    if x[0] > 0:
        return x
    return -x


def _loop(x: Any) -> Any:
    while np.sum(x) < 3:
        x = x + 1
    return x


def _assign(x: Any) -> Any:
    x[0] = 1
    return x


def _assign_into_array(x: Any) -> Any:
    result = np.zeros(4)
    result[0] = x[0]
    return result


def _update_array(x: Any) -> Any:
    result = np.zeros(4)
    result += x
    return result


def _chained_comparison(x: Any) -> Any:
    return 0 < x < 1


def _short_circuit(x: Any) -> Any:
    return (x > 0) and (x < 1)


def _count(x: Any) -> Any:
    return sum(i for i in range(x[0].astype(int)))


OWN_TAKE = np.take
"""As a caller has it who bound the name before: tracing can't reach it."""

MISTAKES: dict[str, tuple[Callable[..., Any], str]] = {
    "if": (_branch, "np.where(condition, a, b)"),
    "while": (_loop, "np.where"),
    "chain": (_chained_comparison, "np.logical_and"),
    "and": (_short_circuit, "np.logical_and"),
    "not": (lambda x: not x[0], "np.where"),
    "float": (lambda x: float(x[0]), "x.astype(float)"),
    "int": (lambda x: int(x[0]), "close over the number"),
    "complex": (lambda x: complex(x[0]), "x.astype(complex)"),
    "round": (lambda x: round(x[0]), "np.rint(x)"),
    "math": (lambda x: math.exp(x[0]), "np.exp(x)"),
    "range": (_count, "close over the number"),
    "assign": (_assign, "gw.ops.index_set(x, np.s_[...], y)"),
    "assign into array": (_assign_into_array, "gw.ops.index_set(y, np.s_[...], x)"),
    "update array": (_update_array, "a = a + x"),
    "mask": (lambda x: x[x > 0], "np.where(mask, x, 0)"),
    "mask and slice": (lambda m: m[m[:, 0] > 0, 1:], "np.where(mask, x, 0)"),
    "slice": (lambda x: x[: x[0].astype(int)], "gw.ops.dynamic_slice"),
    "shape": (lambda x: np.reshape(x, (x[0].astype(int), -1)), "close over the number"),
    "array of list": (lambda x: np.array([x[0], x[1]]), "np.stack"),
    "asarray": (lambda x: np.asarray(x), "np.stack"),
    "list operand": (lambda x: np.sin([x[0], x[1]]), "np.stack"),
    "list beside": (lambda x: np.add(x[:2], [x[0], x[1]]), "np.stack"),
    "in": (lambda x: 1.0 in x, "np.any(x == y)"),
    "format": (lambda x: f"{x[0]:.3f}", "return it"),
    "item": (lambda x: x[0].item(), "return the array"),
    "tolist": (lambda x: x.tolist(), "return the array"),
    "tobytes": (lambda x: x.tobytes(), "return the array"),
    "flat": (lambda x: x.flat, "x.ravel()"),
    "view": (lambda x: x.view(np.int64), "gw.ops.bitcast"),
    "strides": (lambda x: x.strides, "memory"),
    "nonzero method": (lambda x: x.nonzero(), "np.where"),
    "out": (lambda x: np.sum(x, out=np.zeros(())), "use its result"),
    "out of ufunc": (lambda x: np.exp(x, out=np.zeros(4)), "a = a + x"),
    "where of ufunc": (lambda x: np.exp(x, where=x > 0), "np.where"),
    "where": (lambda x: np.sum(x, where=x > 0), "np.where(mask, x, neutral)"),
    "where of mean": (lambda x: np.mean(x, where=x > 0), "np.sum(mask)"),
    "initial": (lambda x: np.max(x, initial=0.0), "np.maximum(initial, np.max(x))"),
    "initial of sum": (lambda x: x.sum(initial=1.0), "combine its result"),
    "casting": (lambda x: np.add(x, x, casting="no"), "leave them out"),
    "order": (lambda x: np.reshape(x, (2, 2), order="A"), "order='C' or order='F'"),
    "order of memory": (lambda x: np.ravel((M * x).T, order="K"), "order='C' or order='F'"),
    "order of flatten": (lambda x: (M * x).flatten("A"), "order='C' or order='F'"),
    "condition alone": (lambda x: np.where(x > 0), "np.where(condition, x, y)"),
    "nonzero": (lambda x: np.nonzero(x), "np.where(condition, a, b)"),
    "unique": (lambda x: np.unique(x), "np.sort(x)"),
    "weights of a quantile": (
        lambda x: np.quantile(x, 0.5, method="inverted_cdf", weights=x),
        "np.cumsum of the weights",
    ),
    "integers at traced places": (
        lambda x: np.quantile(np.arange(4), x, method="lower"),
        "x.astype(float)",
    ),
    "first of numbers": (lambda x: np.nanargmax(x), "np.argmax(np.where"),
    "subscript of a table": (lambda x: X[x.astype(int)], "gw.ops.take(table, i, axis=0)"),
    "element of a table": (lambda x: X[x[0].astype(int)], "gw.ops.take(table, i, axis=0)"),
    "mask of a table": (lambda x: X[x > 0], "np.where(mask, table, 0)"),
    "take from a table": (
        lambda x: OWN_TAKE(X, x[0].astype(int)),
        "np.take can't take it; write gw.ops.take(table, i, axis=0)",
    ),
    "subscript of a list": (lambda x: [1.0, 2.0][x[0].astype(int)], "gw.ops.take(np.stack"),
    "full": (lambda x: np.full((2,), x[0]), "value * np.ones(shape)"),
    "pad with": (lambda x: np.pad(X, 1, constant_values=x[0]), "gw.ops.pad"),
    "roll by": (lambda x: np.roll(X, x[0].astype(int)), "np.roll can't take it in this place"),
    "rank": (lambda x: np.linalg.matrix_rank(M * x), "np.linalg.svdvals"),
    "cond": (lambda x: np.linalg.cond(M * x), "np.linalg.svdvals"),
    "full svd": (lambda x: np.linalg.svd(M * x), "full_matrices=False"),
    "complete qr": (lambda x: np.linalg.qr(M.T * x[:, None], "complete"), "mode='reduced'"),
    "put": (lambda x: np.put(x, 0, 1), "gw.ops.index_set"),
    "copyto": (lambda x: np.copyto(x, 1.0), "gw.ops.index_set"),
    "at": (lambda x: np.add.at(x, 0, 1.0), "gw.ops.index_add"),
    "maximum at": (lambda x: np.maximum.at(x, 0, 1.0), "gw.ops.index_max"),
    "reduceat": (lambda x: np.add.reduceat(x, [0, 2]), "gw.ops.index_add"),
    "vectorize": (lambda x: np.vectorize(lambda y: y)(x), "np.stack"),
    "along axis": (lambda x: np.apply_along_axis(np.sum, 0, x), "gw.vmap"),
    "random": (lambda x: np.random.default_rng(0).normal(x), "np.stack"),
    "no function": (lambda x: np.busday_count(x, x), "docs/opset.md"),
    "no ufunc": (lambda x: np.spacing(x), "docs/opset.md"),
    "foreign ufunc": (lambda x: np.frompyfunc(lambda y: y, 1, 1)(x), "docs/opset.md"),
    "no method of ufunc": (lambda x: np.subtract.reduce(x), "docs/opset.md"),
    "traced repeats": (lambda x: np.repeat(x, x.astype(int)), "close over the counts"),
    "traced cuts": (lambda x: np.split(x, x.astype(int)), "close over the positions"),
    "pad mode": (lambda x: np.pad(x, 1, "linear_ramp"), "constant, edge"),
    "float into integers": (lambda x: gw.ops.index_set(np.arange(3), 0, x[0]), "astype"),
    "dtype": (lambda x: x.astype(np.longdouble), "float64"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_an_error_at_once(name: str) -> None:
    """The message names this file and the line, and says what to write."""
    function, advice = MISTAKES[name]
    argument = M if name == "mask and slice" else X
    with pytest.raises(gw.TraceError) as caught:
        trace(function, argument)
    message = str(caught.value)
    lines, first = inspect.getsourcelines(function)
    assert advice in message
    places = [f"{__file__}:{number}" for number in range(first, first + len(lines))]
    assert any(f"(at {place}" in message for place in places), message


def test_an_error_shows_the_line_itself() -> None:
    """Its text stands behind its number."""
    with pytest.raises(gw.TraceError, match=r"test_tracer\.py:\d+: return np\.unique\(x\)"):
        trace(_unique)


def _unique(x: Any) -> Any:
    return np.unique(x)


def test_rules_of_numpy_are_errors_of_numpy() -> None:
    """Wrong axes, shapes and positions raise what NumPy raises, not a tracing error."""
    for wrong, error in [
        (lambda x: x + np.ones(3), ValueError),
        (lambda x: np.reshape(x, (3, -1)), ValueError),
        (lambda x: np.sum(x, axis=1), np.exceptions.AxisError),
        (lambda x: x[7], IndexError),
        (lambda x: x[[0, -5]], IndexError),
        (lambda x: np.take(x, [9]), IndexError),
        (lambda x: x[0, 0], IndexError),
        (lambda x: x[1.0], IndexError),
        (lambda x: x[np.ones(3, bool)], IndexError),
        (lambda x: np.concatenate([x, M]), ValueError),
        (lambda x: np.squeeze(x, 0), ValueError),
        (lambda x: np.linalg.inv(x), ValueError),
        (lambda x: np.split(x, 3), ValueError),
        (lambda x: len(x[0]), TypeError),
        (lambda x: x.no_such_name, AttributeError),
        (lambda x: x.astype(np.uint8) + 300, OverflowError),
        (lambda x: x.astype(np.uint8) ** 300, OverflowError),
        (lambda x: np.clip(x.astype(np.uint8), 300, 400), OverflowError),
        (lambda x: np.where(x > 0, x.astype(np.uint8), 2**70), OverflowError),
        (lambda x: np.degrees(x.astype(complex)), TypeError),
        (lambda x: np.radians(x + 1j), TypeError),
        (lambda x: np.positive(x > 0), TypeError),
        (lambda x: np.ediff1d(x > 0), TypeError),
        (lambda x: np.gradient(x > 0), TypeError),
        (lambda x: np.interp(x * 1j, X, X), TypeError),
        (lambda x: np.add(x, x * 1j, dtype=np.float64), TypeError),
        (lambda x: np.unwrap(x.astype(np.uint8), period=4), OverflowError),
        (lambda x: np.digitize(x, [0, 2, 1]), ValueError),
        (lambda x: np.interp(x, X, X, period=0), ValueError),
        (lambda x: np.reshape(x, -1, order="B"), ValueError),
        (lambda x: np.quantile(x, 1.5), ValueError),
        (lambda x: np.percentile(x, [50, 101]), ValueError),
        (lambda x: np.nanquantile(x, 0.5, method="none"), ValueError),
        (lambda x: np.quantile(x + 1j, 0.5), TypeError),
        (lambda x: np.quantile(x[:0], 0.5), IndexError),
        (lambda x: np.nanmean(x, dtype=int), TypeError),
    ]:
        with pytest.raises(error) as ours:
            trace(wrong)
        assert not isinstance(ours.value, gw.TraceError)
        with pytest.raises(error):
            wrong(X)


def test_in_place_arithmetic_changes_all_names_of_a_value() -> None:
    """`h = x*1.; y = h; h += 1.` changes y, as in NumPy."""

    def f(x: Any) -> Any:
        h = x * 1.0
        y = h
        h += 1.0
        return y, x * 1.0

    traced = trace(f)
    assert ops_of(traced) == ["multiply", "add", "multiply"]
    nodes = traced.program.functions[traced.program.entry].nodes
    assert results_of(traced) == [nodes[1].outputs[0], nodes[2].outputs[0]]


def test_in_place_arithmetic_doesnt_change_a_copy() -> None:
    """A copy by any of NumPy's ways keeps its elements."""

    def f(x: Any) -> Any:
        h = x * 1.0
        copies = [
            h.copy(),
            np.copy(h),
            copy.copy(h),
            copy.deepcopy(h),
            +h,
            h.astype(float),
            np.floor(h),
            np.nan_to_num(h),
            np.clip(h, None, None),
            np.array_equal(h, h),
            h.flatten(),
            h[[0, 1]],
            np.round(h.astype(int)),
            np.sort(h),
            np.trace(np.outer(h, h)),
        ]
        before = [part.ref for part in copies]
        h += 1.0
        return h.ref not in before and [part.ref for part in copies] == before

    assert trace(f).results[0].value is True  # type: ignore[union-attr]


def test_in_place_arithmetic_keeps_the_dtype() -> None:
    """float32 stays float32; a kind that doesn't fit is refused, as in NumPy."""

    def f(x: Any) -> Any:
        h = x.astype(np.float32)
        h += np.ones(4)
        h *= 2
        return h

    traced = trace(f)
    result = verify_program(traced.program).entry.signature.results[0]
    assert result.dtype == np.float32

    def wrong(x: Any) -> Any:
        h = x.astype(int)
        h += 0.5
        return h

    with pytest.raises(gw.TraceError, match="kind of dtype"):
        trace(wrong)


def test_scalars_are_rebound_not_changed() -> None:
    """A result without axes is a scalar in NumPy, and an alias keeps the old one."""

    def f(x: Any) -> Any:
        total = np.sum(x)
        old = total
        total += 1.0
        return old, total

    traced = trace(f)
    first, second = results_of(traced)
    assert first != second
    assert ops_of(traced) == ["sum", "add"]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.__iadd__(1.0),
        lambda x: (x * 1.0)[1:].__imul__(2.0),
        lambda x: _changed_with_view(x, lambda h: h[1:]),
        lambda x: _changed_with_view(x, lambda h: h.reshape(2, 2)),
        lambda x: _changed_with_view(x, lambda h: h[:, None]),
        lambda x: _changed_with_view(x, lambda h: np.broadcast_to(h, (2, 4))),
        lambda x: _changed_with_view(x, lambda h: np.split(h, 2)),
        lambda x: _changed_with_view(x, lambda h: h.astype(complex).real.__iadd__(1.0)),
        lambda x: x.sort(),
        lambda x: x.fill(0.0),
    ],
)
def test_an_argument_or_a_view_cant_be_changed(change: Callable[[Any], Any]) -> None:
    """Another value would have to follow."""
    with pytest.raises(gw.TraceError, match=r"x = x \+ y instead of x \+= y"):
        trace(change)


def _changed_with_view(x: Any, view: Callable[[Any], Any]) -> Any:
    h = x * 1.0
    kept = view(h)
    h += 1.0
    return h, kept


def test_reading_an_element_makes_no_view() -> None:
    """Elements and arrays of positions are copies in NumPy, so both may be changed after."""

    def f(x: Any) -> Any:
        h = x * 1.0
        first = h[0] + h[1:][0]
        h = h + 1.0
        picked = h[np.array([2, 0])]
        element = h[-1]
        h += first + element
        picked += 1.0
        return h, picked

    assert ops_of(trace(f)).count("add") == 5


def test_transposing_a_vector_gives_the_vector() -> None:
    """Its transpose shares its memory, so it changes with it."""

    def f(x: Any) -> Any:
        h = x * 1.0
        y = h.T
        h += 1.0
        return y

    assert ops_of(trace(f)) == ["multiply", "add"]


def test_sort_and_fill_change_the_array() -> None:
    """The methods that work in place do so for a value of the function's own."""

    def f(x: Any) -> Any:
        h = x * 1.0
        assert h.sort() is None
        zeros = np.empty_like(x)
        zeros.fill(2.5)
        return h, zeros

    assert ops_of(trace(f))[:2] == ["multiply", "sort"]


def test_a_row_of_a_batch_of_numbers_is_a_number() -> None:
    """Inside an inner function an argument without axes may be rebound."""

    def f(t: Any) -> Any:
        t += 1.0
        return t

    assert ops_of(trace(f, X, axes=(0,))) == ["add"]
    inner_ops = _inner_function(f, np.float64(1.0))
    assert inner_ops == ["add"]
    with pytest.raises(gw.TraceError, match="an argument"):
        _inner_function(f, X)
    with pytest.raises(gw.TraceError, match="an argument"):
        trace(f, np.array(1.0))


def _inner_function(function: Callable[..., Any], argument: Any) -> list[str]:
    """Traces a function as one that the entry uses, and returns its ops."""
    found: list[str] = []

    def entry(x: Any) -> Any:
        builder = current_builder()
        leaves, tree = flatten(((x,), {}))
        traced = trace_function(builder, function, leaves, [x.ref.type], tree)
        found.extend(node.op for node in builder.trace.functions[traced.index].nodes)
        return x

    trace(entry, argument)
    return found


def test_captured_values_become_leading_parameters_at_every_level() -> None:
    """A function three levels down that reads the outermost value: each one passes it on."""
    levels: list[int] = []

    def nest(outer: Any, depth: int) -> Any:
        builder = current_builder()
        leaves, tree = flatten(((outer,), {}))

        def inner(y: Any) -> Any:
            return nest(y, depth - 1) if depth else y * captured[0]

        traced = trace_function(builder, inner, leaves, [outer.ref.type], tree)
        levels.append(len(traced.captures))
        refs = builder.emit("call", [*traced.captures, outer.ref], {}, [traced.index])
        return Traced(refs[0])

    captured: list[Any] = []

    def entry(x: Any, w: Any) -> Any:
        captured.append(w)
        return nest(x, 2)

    traced = trace(entry, X, X)
    assert levels == [1, 1, 1]
    assert [len(f.params) for f in traced.program.functions] == [2, 2, 2, 2]


def test_a_value_that_leaves_its_function_is_refused() -> None:
    """What an inner function made can't be used outside of it."""
    leaked: list[Any] = []

    def entry(x: Any) -> Any:
        builder = current_builder()
        inner = FunctionBuilder(builder.trace, builder, "inner")
        with building(inner):
            leaked.append(x * 2.0)
        inner.add_to_program([leaked[0].ref])
        return leaked[0] + 1.0

    with pytest.raises(gw.TraceError, match=r"after the function that made it has.*test_tracer"):
        trace(entry)
    with pytest.raises(gw.TraceError, match="after its function has returned"):
        leaked[0] + 1.0


def test_an_array_of_an_outer_function_cant_be_changed() -> None:
    """The inner function would have to hand it back."""

    def entry(x: Any) -> Any:
        h = x * 1.0
        builder = current_builder()

        def inner(y: Any) -> Any:
            nonlocal h
            h += y
            return h

        leaves, tree = flatten(((x,), {}))
        trace_function(builder, inner, leaves, [x.ref.type], tree)

    with pytest.raises(gw.TraceError, match="outer function"):
        trace(entry)


def test_a_caller_outside_gets_its_own_line() -> None:
    """The line is the innermost one that is neither ours nor NumPy's."""
    line = caller_line()
    assert line.file == __file__
    assert str(line).endswith("line = caller_line()")


def test_properties_are_known_while_tracing() -> None:
    """Shapes and dtypes are plain Python values."""

    def f(x: Any) -> Any:
        assert (x.shape, x.ndim, x.size, x.nbytes, x.itemsize) == ((3, 4), 2, 12, 96, 8)
        assert x.dtype == np.float64
        assert x.device == "cpu"
        assert (len(x), np.shape(x), np.ndim(x), np.size(x), np.size(x, 0)) == (3, (3, 4), 2, 12, 3)
        assert np.result_type(x, np.float32) == np.float64
        assert np.result_type(x.astype("f"), 2.0) == np.float32
        assert np.can_cast(x, np.float32, "same_kind")
        assert not np.can_cast(x, np.float32)
        assert np.isrealobj(x)
        assert np.iscomplexobj(x + 1j)
        assert np.common_type(x.astype("f"), x) is np.float64
        assert np.min_scalar_type(x) == np.float64
        assert not hasattr(x, "__array_interface__")
        assert repr(x) == f"{x}" == "Traced(float64[3,4])"
        assert [row.shape for row in x] == [(4,)] * 3
        return x

    trace(f, M)


def test_float_dtype_pins_every_floating_value() -> None:
    """With float32 asked for, nothing in the program is double precision."""

    def f(x: Any, k: Any) -> Any:
        y = np.mean(k) + np.linalg.inv(x @ x.T) @ np.ones(3) / np.float64(2)
        y = y.astype(float) + np.linspace(0, k[0], 3) + np.interp(y, np.arange(3.0), y)
        return y, np.fft.fft(k), np.full_like(y, 1, dtype=np.float64), np.cov(x)

    traced = trace(f, M, np.arange(3), float_dtype=np.dtype(np.float32))
    types = verify_program(traced.program).infos[-1].types.values()
    assert {t.dtype.name for t in types} <= {"float32", "complex64", "int64", "int32", "bool"}


@pytest.mark.parametrize(
    ("operator", "arguments", "remedy"),
    [
        (gw.trace_estimate, {"seed": 0}, 'operator="hessian"'),
        (gw.diagonal_estimate, {"seed": 0}, 'operator="hessian"'),
        (gw.jacobian_trace, {}, "gw.laplacian"),
    ],
)
def test_what_needs_a_square_jacobian_says_so(operator: Any, arguments: Any, remedy: str) -> None:
    """In the caller's words, with both types, and with what serves a scalar function."""
    name = operator.__name__
    rule = f"gw.{name} needs a function whose result has the shapes and dtypes of its argument; got"
    with pytest.raises(TypeError) as scalar:
        trace_program(operator(np.sum), (X,), arguments)
    assert str(scalar.value) == (
        f"{rule} (float64[]) for (float64[4]). For a scalar function write {remedy}"
    )
    with pytest.raises(TypeError) as several:
        trace_program(operator(lambda x: (x, x)), (X,), arguments)
    assert str(several.value) == f"{rule} (float64[4], float64[4]) for (float64[4])"


@pytest.mark.parametrize("argnums", ["x", 0.0, None, (0, 1.5), (0, None)])
@pytest.mark.parametrize("operator", [gw.grad, gw.jacobian, gw.laplacian, gw.jacobian_trace])
def test_argnums_of_another_kind_are_named(operator: Any, argnums: Any) -> None:
    """They are refused with the rule and what came."""
    with pytest.raises(TypeError) as caught:
        trace_program(operator(lambda x, y: x * y, argnums), (1.0, 2.0), {})
    assert str(caught.value) == (
        f"`argnums` must be an integer or a tuple of integers; got {argnums!r}"
    )


@pytest.mark.parametrize("argnums", [(0, 0), (1, 0, -1)])
def test_argnums_name_an_argument_once(argnums: Any) -> None:
    """Twice, from whichever end it is counted, is refused."""
    with pytest.raises(TypeError) as caught:
        trace_program(gw.grad(lambda x, y: x * y, argnums), (1.0, 2.0), {})
    assert str(caught.value) == f"`argnums` must name each argument once; got {argnums!r}"


def test_argnums_may_be_numpys_integers() -> None:
    """One is as an int, and several are as a tuple."""
    one = trace_program(gw.grad(lambda x, y: x * y, np.int64(-1)), (1.0, 2.0), {})  # type: ignore[arg-type]
    assert len(one.results) == 1
    many = trace_program(gw.grad(lambda x, y: x * y, np.array([0, 1])), (1.0, 2.0), {})  # type: ignore[arg-type]
    assert len(many.results) == 2
