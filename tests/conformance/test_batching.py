"""Batching of every op: mapping over samples, and the table's proofs of independence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conformance.harness import (
    Case,
    cases_of_table,
    lowered,
    others_at_length,
    unoptimised_and_optimised,
    widened,
)
from gradwire.ir.binding import bind_attrs
from gradwire.opset import OPS
from gradwire.opset.core import MIXED, Call
from gradwire.tensors import Array, is_inexact, type_of
from gradwire_server.compiler.lowering import LOWERINGS

CASES = cases_of_table()
WITH_OPERANDS = [case for case in CASES if case.inputs(case.widest)]
PROVED = sorted(name for name in LOWERINGS if OPS[name].batch)


@cache
def _compiled(case: Case) -> Callable[..., list[Any]]:
    return jax.jit(lowered(case, case.inputs(case.widest), case.attrs_for(case.widest)))


def _run(case: Case, inputs: Sequence[Array]) -> list[Array]:
    return [np.asarray(x) for x in _compiled(case)(*inputs)]


@unoptimised_and_optimised
@pytest.mark.parametrize("case", others_at_length(WITH_OPERANDS))
def test_vmap_equals_a_loop(case: Case, options: dict[str, Any]) -> None:
    """Mapping over a leading axis of every operand gives each row's own result."""
    rows = [case.inputs(case.widest, seed) for seed in range(3)]
    stacked = [jnp.stack(column) for column in zip(*rows, strict=True)]
    function = lowered(case, rows[0], case.attrs_for(case.widest))
    run = jax.jit(jax.vmap(function), compiler_options=options)
    mapped = [np.asarray(x) for x in run(*stacked)]
    for b, row in enumerate(rows):
        got = case.observed(np, [x[b] for x in mapped])
        for ours, theirs in zip(got, case.observed(np, _run(case, row)), strict=True):
            assert ours.dtype == theirs.dtype
            if is_inexact(ours.dtype):
                scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=0)
                np.testing.assert_allclose(widened(ours), widened(theirs), 1e-11, 1e-12 * scale)
            else:
                np.testing.assert_array_equal(ours, theirs)


def _proofs(case: Case) -> list[tuple[tuple[int | None, ...], list[int | None]]]:
    """Returns (axes of the inputs, axes of the outputs) for every choice of batch axes."""
    op, inputs = OPS[case.op], case.inputs(case.widest)
    call = Call(tuple(map(type_of, inputs)), bind_attrs(op, case.attrs_for(case.widest)))
    proofs = []
    for axes in product(*[(None, *range(x.ndim)) for x in inputs]):
        sizes = {x.shape[axis] for x, axis in zip(inputs, axes, strict=True) if axis is not None}
        if len(sizes) == 1 and op.batch:
            proofs.append((axes, list(op.batch(call, axes))))
    return proofs


@pytest.mark.parametrize(
    "case", [case for case in WITH_OPERANDS if OPS[case.op].batch], ids=lambda case: case.id
)
def test_a_proved_batch_axis_keeps_samples_apart(case: Case) -> None:
    """Another sample b changes nothing but sample b of an output that the rule vouches for."""
    inputs, others = case.inputs(case.widest, 1), case.inputs(case.widest, 2)
    before = _run(case, inputs)
    for axes, places in _proofs(case):
        assert len(places) == len(before)
        if all(place == MIXED for place in places):
            continue
        batch = next(x.shape[a] for x, a in zip(inputs, axes, strict=True) if a is not None)
        for b in range(batch):
            changed = [x.copy() for x in inputs]
            for x, other, axis in zip(changed, others, axes, strict=True):
                if axis is not None:
                    np.moveaxis(x, axis, 0)[b] = np.moveaxis(other, axis, 0)[b]
            after = _run(case, changed)
            for old, new, place in zip(before, after, places, strict=True):
                label = f"inputs' axes {axes}, output's axis {place}, sample {b}"
                if place == MIXED:
                    continue
                if place is None:
                    np.testing.assert_array_equal(old, new, label)
                    continue
                assert old.shape[place] == batch, label
                # A shared trip count of an iteration may move the last digit.
                kept, again = (widened(np.delete(x, b, place)) for x in (old, new))
                np.testing.assert_allclose(again, kept, 1e-13, 1e-14, err_msg=label)


@pytest.mark.parametrize("op", PROVED)
def test_a_batch_rule_proves_something(op: str) -> None:
    """A rule that always answers ``MIXED`` would make the test above empty."""
    places = [p for c in WITH_OPERANDS if c.op == op for _, ps in _proofs(c) for p in ps]
    assert any(place not in (MIXED, None) for place in places)
