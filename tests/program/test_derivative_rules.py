"""The operators' types, their refusals and their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradwire.errors import InvalidProgramError, LimitExceededError, UnsupportedError
from gradwire.opset import OPS
from gradwire.opset.core import Call, Signature
from gradwire.opset.trace_rules import num_matvecs
from gradwire.tensors import TensorType
from programs import vector as t
from sketch import Sketch, op, several, total, type_of

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
C64, C128 = np.dtype(np.complex64), np.dtype(np.complex128)
I32, U32 = np.dtype(np.int32), np.dtype(np.uint32)


def bound(name: str, params: Any, results: Any, extras: Any = (), **attrs: Any) -> Call:
    """A use of an operator on a function of the given types."""
    defaults = {key: spec.default for key, spec in OPS[name].attrs.items()}
    signature = Signature(tuple(params), tuple(results))
    return Call((*params, *extras), {**defaults, **attrs}, (signature,))


def infer(name: str, params: Any, results: Any, extras: Any = (), **attrs: Any) -> list[TensorType]:
    return list(OPS[name].infer(bound(name, params, results, extras, **attrs)))


S, V, M = t(), t(3), t(2, 4)
SEED = t(dtype=U32)
ESTIMATE = {"operator": "jacobian", "num_samples": 4}

TYPES = [
    ("call", [V, M], [S, V], (), {}, [S, V]),
    ("vmap", [V, M], [S, V], None, {"mapped": (0, 1)}, [t(5), t(5, 3)]),
    ("jvp", [V, M], [S, M, V], (M,), {"wrt": (1,), "num_aux": 1}, [S, M, S, M, V]),
    ("vjp", [V, M], [S, M, V], (S, M), {"wrt": (1, 0), "num_aux": 1}, [S, M, M, V, V]),
    ("grad", [M], [S, V], (), {"num_aux": 1}, [S, M, V]),
    ("jacobian", [V, M], [S, V], (), {"wrt": (0, 1)}, [S, V, V, M, t(3, 3), t(3, 2, 4)]),
    ("hessian", [V], [S], (), {}, [S, t(3, 3)]),
    ("hessian_diagonal", [V, M], [V], (), {"wrt": (1, 0)}, [V, t(3, 2, 4), t(3, 3)]),
    ("laplacian", [V, M], [V], (), {"wrt": (0, 1)}, [V, V]),
    ("laplacian", [V], [V, S], (), {"with_grad": True}, [V, S, t(3, 3), V, V, S]),
    ("hvp", [M], [S, V], (M,), {"num_aux": 1}, [S, M, V]),
    ("jacobian_trace", [V, M], [M, V, S], (), {"wrt": (1, 0), "num_aux": 1}, [M, V, S, S]),
    ("trace_estimate", [V], [V], (SEED,), ESTIMATE, [V, S, S]),
    ("trace_estimate", [V], [V], (t(4, 3),), {**ESTIMATE, "probes": True}, [V, S, S]),
    ("diagonal_estimate", [V, M], [V, M], (SEED,), {**ESTIMATE, "wrt": (0, 1)}, [V, M, V, M, V, M]),
    (
        "batched_jacobian",
        [M, V],
        [t(2, 5), t(2), M],
        (),
        {"mapped": (1, 0), "wrt": (0, 1), "num_aux": 1},
        [t(2, 5), t(2), t(2, 5, 4), t(2, 5, 3), t(2, 4), t(2, 3), M],
    ),
    (
        "jacobian",
        [V, t(2, dtype=F32)],
        [t(2, dtype=F32), S],
        (),
        {"wrt": (0, 1)},
        [t(2, dtype=F32), S, t(2, 3, dtype=F32), t(2, 2, dtype=F32), V, t(2)],
    ),
    ("jacobian", [t(2, dtype=C64)], [S], (), {}, [S, t(2, dtype=C128)]),
    ("jacobian", [V], [t(dtype=C64)], (), {}, [t(dtype=C64), t(3, dtype=C64)]),
]


@pytest.mark.parametrize("case", TYPES, ids=lambda case: case[0])
def test_output_types(case: Any) -> None:
    """Values, then derivatives by value and leaf, then aux."""
    name, params, results, extras, attrs, wanted = case
    if extras is None:
        signature = Signature(tuple(params), tuple(results))
        operands = tuple(
            TensorType(p.dtype, (5, *p.shape)) if flag else p
            for p, flag in zip(params, attrs["mapped"], strict=True)
        )
        assert list(OPS[name].infer(Call(operands, attrs, (signature,)))) == wanted
    else:
        assert infer(name, params, results, extras, **attrs) == wanted


K = t(3, dtype=I32)
Z, ZS = t(3, dtype=C128), t(dtype=C128)
BAD = [
    ("no leaf", "grad", [V], [S], (), {"wrt": ()}, "`wrt`"),
    ("a leaf twice", "grad", [V], [S], (), {"wrt": (0, 0)}, "`wrt`"),
    ("a leaf too many", "grad", [V], [S], (), {"wrt": (1,)}, "`wrt`"),
    ("a negative leaf", "grad", [V], [S], (), {"wrt": (-1,)}, "`wrt`"),
    ("a captured leaf", "grad", [V], [S], (), {"num_captures": 1}, "`wrt`"),
    ("an integer leaf", "grad", [K], [S], (), {}, "argument 0 is int32[3]"),
    ("an integer value", "jacobian", [V], [K], (), {}, "pass it as aux"),
    ("too many captures", "grad", [V], [S], (), {"num_captures": 2}, "`num_captures`"),
    ("all aux", "grad", [V], [S], (), {"num_aux": 1}, "`num_aux`"),
    ("no scalar", "grad", [V], [V], (), {}, "one scalar"),
    ("two scalars", "grad", [V], [S, S], (), {}, "one scalar"),
    ("complex gradient", "grad", [Z], [ZS], (), {}, "`holomorphic`"),
    ("real holomorphic", "grad", [V], [ZS], (), {"holomorphic": True}, "must be complex"),
    ("no tangent", "jvp", [V], [S], (), {}, "1 tangents"),
    ("a wrong tangent", "jvp", [V], [S], (M,), {}, "`inputs[1]` must be float64[3]"),
    ("a wrong cotangent", "vjp", [V], [S], (V,), {}, "`inputs[1]` must be float64[]"),
    ("a tangent too many", "grad", [V], [S], (V,), {}, "got 2"),
    ("negative chunk", "jacobian", [V], [S], (), {"chunk": -1}, "`chunk`"),
    ("not holomorphic", "jacobian", [Z], [Z], (), {}, "`holomorphic`"),
    ("not square", "jacobian_trace", [V], [S], (), {}, "pair up"),
    ("two dtypes", "jacobian_trace", [V, t(dtype=F32)], [V, t(dtype=F32)], (), {"wrt": (0, 1)},
     "one dtype"),
    ("no sample", "trace_estimate", [V], [V], (SEED,), {**ESTIMATE, "num_samples": 0},
     "`num_samples`"),
    ("no seed", "trace_estimate", [V], [V], (), ESTIMATE, "1 seed"),
    ("a float seed", "trace_estimate", [V], [V], (S,), ESTIMATE, "uint32[]"),
    ("too few probes", "diagonal_estimate", [V], [V], (t(3, 3),), {**ESTIMATE, "probes": True},
     "float64[4,3]"),
    ("no flag", "batched_jacobian", [M], [M], (), {"mapped": (0,)}, "`mapped`"),
    ("flags", "batched_jacobian", [M], [M], (), {"mapped": (1, 1)}, "`mapped`"),
    ("flag 2", "batched_jacobian", [M], [M], (), {"mapped": (2,)}, "`mapped`"),
    ("a scalar batch", "batched_jacobian", [S], [M], (), {"mapped": (1,)}, "axis 0"),
    ("two lengths", "batched_jacobian", [M, V], [M], (), {"mapped": (1, 1)}, "axis 0"),
    ("results without batch", "batched_jacobian", [M], [S], (), {"mapped": (1,)}, "batch of 2"),
    ("a wrong operand", "vmap", [V], [S], (), {"mapped": (1,)}, "without their mapped axes"),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=lambda case: case[0])
def test_refusals(case: Any) -> None:
    """What can't be differentiated is refused with the rule and what came instead."""
    _, name, params, results, extras, attrs, words = case
    with pytest.raises(InvalidProgramError) as error:
        infer(name, params, results, extras, **attrs)
    assert words in error.value.message


@pytest.mark.parametrize(
    ("name", "params", "results", "extras", "attrs"),
    [
        ("hessian", [Z], [S], (), {}),
        ("hessian_diagonal", [Z], [S], (), {}),
        ("laplacian", [Z], [S], (), {}),
        ("hvp", [Z], [S], (Z,), {}),
        ("jacobian_trace", [Z], [Z], (), {}),
        ("trace_estimate", [Z], [Z], (SEED,), ESTIMATE),
        ("diagonal_estimate", [Z], [Z], (SEED,), ESTIMATE),
        ("jacobian", [Z], [S], (), {"mode": "forward"}),
    ],
)  # fmt: skip
def test_what_is_not_offered(name: str, params: Any, results: Any, extras: Any, attrs: Any) -> None:
    """Second derivatives by complex numbers, and forward sweeps from them, are not offered."""
    with pytest.raises(UnsupportedError):
        infer(name, params, results, extras, **attrs)


@pytest.mark.parametrize("name", ["trace_estimate", "diagonal_estimate"])
def test_an_exact_estimate_needs_a_product_for_each_input(name: str) -> None:
    """And unit vectors, so no probes."""
    exact = {"operator": "jacobian", "method": "exact"}
    infer(name, [V], [V], (SEED,), num_samples=3, **exact)
    with pytest.raises(InvalidProgramError, match="`num_samples` of 3 or more; got 2"):
        infer(name, [V], [V], (SEED,), num_samples=2, **exact)
    with pytest.raises(InvalidProgramError, match="got probes"):
        infer(name, [V], [V], (t(9, 3),), num_samples=9, probes=True, **exact)


def test_operands_are_checked() -> None:
    """An operand that is not of its parameter's type is named."""
    call = Call((M,), bound("grad", [V], [S]).attrs, (Signature((V,), (S,)),))
    with pytest.raises(InvalidProgramError, match=r"`inputs\[0\]` must be float64\[3\]"):
        OPS["grad"].infer(call)


@pytest.mark.parametrize(
    ("name", "attrs", "extras", "copies"),
    [
        ("jacobian", {}, (), 5),
        ("jacobian", {"mode": "forward"}, (), 5),
        ("jacobian", {"chunk": 3}, (), 3),
        ("jacobian", {"mode": "reverse"}, (), 7),
        ("jacobian", {"mode": "reverse", "chunk": 100}, (), 7),
        ("hessian", {}, (), 25),
        ("hessian", {"chunk": 2}, (), 10),
        ("hessian_diagonal", {"chunk": 2}, (), 2),
        ("laplacian", {}, (), 5),
        ("hessian", {"inner_mode": "reverse"}, (), 35),
        ("batched_jacobian", {"mapped": (1,)}, (), 1),
    ],
)
def test_copies(name: str, attrs: Any, extras: Any, copies: int) -> None:
    """The bound on intermediates counts the sweeps that are alive, at least, at once."""
    results = [t(5)] if name == "batched_jacobian" else [t(7)]
    rule = OPS[name].copies
    assert rule is not None
    assert rule(bound(name, [t(5)], results, extras, **attrs)) == copies


def test_copies_of_batches() -> None:
    """Blocks count the elements of one sample; a parameter's reverse sweep is one row of B·m."""
    types = [t(100, 3), t(150)], [t(100, 2)]
    copies = OPS["batched_jacobian"].copies
    assert copies is not None
    for modes, wanted in (({}, 150), ({"parameter_mode": "reverse"}, 200)):
        call = bound("batched_jacobian", *types, mapped=(1, 0), wrt=(0, 1), **modes)
        assert copies(call) == wanted


def test_matvecs_of_estimates() -> None:
    """The number of products is num_samples, or the inputs' where that is exact."""
    for samples, matvecs in ((2, 2), (3, 3), (9, 3)):
        call = bound("trace_estimate", [V], [V], (SEED,), operator="jacobian", num_samples=samples)
        assert num_matvecs(call) == matvecs
        assert OPS["trace_estimate"].copies(call) == matvecs  # type: ignore[misc]
    given = bound(
        "trace_estimate", [V], [V], (t(9, 3),), operator="jacobian", num_samples=9, probes=True
    )
    assert num_matvecs(given) == 9


def test_huge_jacobians_are_refused_before_they_exist() -> None:
    """Outputs and intermediates over the limit are refused by counting alone."""
    x = t(100_000)
    for name, write in (
        ("jacobian", lambda x: x * 2.0),
        ("hessian", lambda x: total(x * x, 0)),
    ):
        sketch = Sketch()
        f = sketch.add([x], write)
        sketch.add([x], lambda x, f=f, name=name: several(name, x, functions=[f], outputs=2))
        with pytest.raises(InvalidProgramError, match="2\\*\\*31"):
            sketch.typed()
    sketch = Sketch()
    f = sketch.add([x], lambda x: total(x * x, 0))
    sketch.add([x], lambda x: several("laplacian", x, functions=[f], outputs=2))
    with pytest.raises(LimitExceededError) as error:
        sketch.typed()
    assert error.value.metadata["limit"] == "max_tensor_elements"
    sketch.functions.pop()
    sketch.add([x], lambda x: several("laplacian", x, functions=[f], outputs=2, chunk=64))
    sketch.typed()


def test_orders_add_up() -> None:
    """A Hessian counts as two orders, an estimate as its operator's."""
    sketch = Sketch()
    x = type_of(np.zeros(3))
    f = sketch.add([x], lambda x: total(x**4, 0))
    g = sketch.add([x], lambda x: several("laplacian", x, functions=[f], outputs=2)[1])
    seed = np.uint32(0)
    for operator, wanted in (("hessian", 4), ("jacobian", 3)):
        callee = (
            g
            if operator == "hessian"
            else sketch.add([x], lambda x: x * op("call", x, functions=[g]))
        )
        sketch.add(
            [x],
            lambda x, callee=callee, operator=operator: several(
                "trace_estimate", x, seed, functions=[callee], outputs=3,
                operator=operator, num_samples=2,
            ),
        )  # fmt: skip
        assert sketch.planned().size.order == wanted


def test_every_operator_is_in_the_table() -> None:
    """The table holds the operators of the design, each with what the checker needs."""
    names = (
        "call checkpoint vmap jvp vjp grad jacobian batched_jacobian hessian hessian_diagonal "
        "laplacian hvp jacobian_trace trace_estimate diagonal_estimate"
    )
    for name in names.split():
        assert OPS[name].num_functions == 1
        assert OPS[name].operator_batch is not None
