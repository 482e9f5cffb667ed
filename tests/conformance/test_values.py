"""Every op of the table against NumPy and SciPy: values, result types, refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conformance.harness import (
    ANY,
    Case,
    all_cases,
    assert_close,
    cases_of_table,
    dtype_of,
    lowered,
    one_node,
    others_at_length,
    output_types,
    unoptimised_and_optimised,
)
from gradwire.errors import InvalidProgramError
from gradwire.opset import FAMILIES, OPS
from gradwire.tensors import Array, TensorType, type_of
from gradwire_server.compiler.derivatives import OPERATORS
from gradwire_server.compiler.lowering import LOWERINGS
from gradwire_server.program.verify import verify_program

CASES = cases_of_table()
PLAIN = set(OPS) - {op.name for family in ("control", "operator") for op in FAMILIES[family]}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
every_op = pytest.mark.parametrize("op", sorted(PLAIN))


def test_every_op_has_a_case() -> None:
    """No op but the operators enters the table untested, and no case outlives its op."""
    assert {case.op for case in all_cases()} == PLAIN


def test_every_op_has_a_lowering() -> None:
    """The table and the server's two halves name the same ops."""
    assert set(LOWERINGS) == PLAIN
    assert set(OPERATORS) == set(OPS) - PLAIN


def test_case_names_are_unique() -> None:
    """A case can be named on the command line."""
    ids = [case.id for case in all_cases()]
    assert len(ids) == len(set(ids))


def _problem(case: Case, name: str) -> tuple[Callable[..., list[Any]], list[Any], list[Array]]:
    """Returns the op's function, its operands and what the reference makes of them."""
    dtype = dtype_of(name)
    inputs, attrs = case.inputs(dtype), case.attrs_for(dtype)
    operands = [jnp.asarray(x) for x in inputs]
    return lowered(case, inputs, attrs), operands, case.expected(inputs, attrs)


def _compare(case: Case, outputs: Sequence[Any], want: Sequence[Array], what: str) -> None:
    got = case.observed(np, [np.asarray(x) for x in outputs])
    assert_close(got, want, ulps=case.ulps, relative=case.relative, what=what)


@unoptimised_and_optimised
@every_case
def test_value_agrees_with_the_reference(case: Case, options: dict[str, Any]) -> None:
    """Compiled, in every dtype that the case names."""
    functions, operands, wanted = zip(*(_problem(case, name) for name in case.dtypes), strict=True)

    def run_all(operands: list[list[jax.Array]]) -> list[list[jax.Array]]:
        return [f(*inputs) for f, inputs in zip(functions, operands, strict=True)]

    results = jax.jit(run_all, compiler_options=options)(operands)
    for name, outputs, want in zip(case.dtypes, results, wanted, strict=True):
        _compare(case, outputs, want, name)


@pytest.mark.parametrize("case", others_at_length(CASES))
def test_value_agrees_when_not_compiled(case: Case) -> None:
    """Run by JAX op by op, in the widest dtype: no fusion hides or makes an error."""
    function, operands, want = _problem(case, case.widest.name)
    _compare(case, function(*operands), want, str(case.widest))


def _typed() -> list[Any]:
    """Returns (case, dtype) where NumPy computes in that dtype itself."""
    names = ("bool", "float64", "complex128")
    runs = [(c, name) for c in CASES for name in names if name in c.dtypes and c.observe is None]
    return [pytest.param(*run, id=f"{run[0].id}-{run[1]}") for run in runs]


@pytest.mark.parametrize(("case", "name"), _typed())
def test_result_dtype_is_the_references(case: Case, name: str) -> None:
    """The table's result dtype is what NumPy gives for operands that it doesn't widen."""
    inputs, attrs = case.inputs(dtype_of(name)), case.attrs_for(dtype_of(name))
    types = output_types(case.op, [type_of(x) for x in inputs], attrs)
    assert [t.dtype for t in types] == [x.dtype for x in case.expected(inputs, attrs)]


@every_op
def test_other_dtypes_are_refused(op: str) -> None:
    """A dtype that no case of the op tests is a typed error."""
    cases = [case for case in CASES if case.op == op]
    tested = {name for case in cases for name in case.dtypes}
    for case in cases:
        for name in sorted(set(ANY) - tested):
            inputs, attrs = case.inputs(dtype_of(name)), case.attrs_for(dtype_of(name))
            types = [type_of(x) for x in inputs]
            with pytest.raises(InvalidProgramError):
                pytest.fail(f"accepts {name}: {verify_program(one_node(op, types, attrs))}")


def _mixtures() -> list[Any]:
    """Returns (case, place) for each of several operands that could be float32 among doubles."""
    mixtures = []
    for case in CASES:
        if not {"float32", "float64"} <= set(case.dtypes):
            continue
        pairs = zip(*(case.inputs(dtype_of(name)) for name in ("float64", "float32")), strict=True)
        places = [i for i, (wide, narrow) in enumerate(pairs) if wide.dtype != narrow.dtype]
        if len(places) > 1:
            mixtures += [pytest.param(case, i, id=f"{case.id}-{i}") for i in places]
    return mixtures


@pytest.mark.parametrize(("case", "place"), _mixtures())
def test_mixed_dtypes_are_refused(case: Case, place: int) -> None:
    """There is no implicit promotion: one float32 among doubles is a typed error."""
    types = [type_of(x) for x in case.inputs(dtype_of("float64"))]
    types[place] = TensorType(dtype_of("float32"), types[place].shape)
    with pytest.raises(InvalidProgramError):
        one_node(case.op, types, case.attrs_for(dtype_of("float64")))
