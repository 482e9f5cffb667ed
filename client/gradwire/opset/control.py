"""The control family: choices, loops, and values that an equation defines.

The operands of a control op are the captured values of each of its functions in
turn (``captures``), then the op's own. A function takes its captured values,
then what the op gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gradwire.opset import control_flow as flow
from gradwire.opset import control_rules as rules
from gradwire.opset.core import (
    UNBOUNDED,
    AttrSpec,
    Call,
    Flow,
    InferRule,
    Kind,
    OpDef,
    OperatorBatchRule,
    Runs,
)
from gradwire.opset.differentiation import FORWARD

MAX_BRANCHES = 64
"""The most functions of a ``switch``."""

_CAPTURES = AttrSpec(
    Kind.INTS, "how many operands are captured values of each function; none at all if empty", ()
)
_REVERSE = AttrSpec(Kind.BOOL, "whether it runs from the end to the start", False)
_IMPLICIT_ATTRS: Mapping[str, AttrSpec] = {
    "tolerance": AttrSpec(Kind.FLOAT, "the greatest residual, in absolute value, that is accepted"),
    "max_iterations": AttrSpec(Kind.INT, "the greatest number of steps"),
}


def _control(
    name: str,
    doc: str,
    operands: str,
    infer: InferRule,
    *,
    num_functions: int | tuple[int, int] = 1,
    attrs: Mapping[str, AttrSpec] | None = None,
    flow: Flow | None = None,
    batch: OperatorBatchRule | None = None,
    runs: Callable[[Call], Runs] | None = None,
    copies: Callable[[Call], int] | None = None,
    irreversible: Callable[[Call], str | None] | None = None,
    sweeps: tuple[str, ...] = (),
    own_rule: bool = False,
    may_be_non_finite: bool = False,
    matrix_rows: Callable[[Call], int] | None = None,
) -> OpDef:
    return OpDef(
        name,
        doc,
        infer,
        (0, UNBOUNDED),
        attrs={"captures": _CAPTURES, **(attrs or {})},
        num_functions=num_functions,
        operator_batch=batch,
        flow=flow,
        runs=runs,
        copies=copies,
        irreversible=irreversible,
        sweeps=sweeps,
        own_rule=own_rule,
        may_be_non_finite=may_be_non_finite,
        matrix_rows=matrix_rows,
        operands=f"captured values..., {operands}",
    )


OPS = (
    _control(
        "cond",
        "The first function's results if the predicate is true, else the second's.",
        "predicate, operands...",
        rules.infer_cond,
        num_functions=2,
        flow=flow.branches,
        batch=flow.branches_batch,
    ),
    _control(
        "switch",
        "The results of the function that the index, clamped into range, selects.",
        "index, operands...",
        rules.infer_switch,
        num_functions=(1, MAX_BRANCHES),
        flow=flow.branches,
        batch=flow.branches_batch,
    ),
    _control(
        "while_loop",
        "The state, after the body has changed it for as long as the condition held; "
        "functions: condition, body.",
        "state...",
        rules.infer_while,
        num_functions=2,
        attrs={
            "max_iterations": AttrSpec(
                Kind.INT, "the greatest number of runs of the body; 0: no bound", 0
            )
        },
        flow=flow.while_loop,
        batch=flow.while_batch,
        runs=rules.while_runs,
        irreversible=rules.while_irreversible,
    ),
    _control(
        "fori_loop",
        "The state, after the body has changed it once for each index; the body takes "
        "the index, int64, then the state.",
        "state...",
        rules.infer_fori,
        attrs={
            "lower": AttrSpec(Kind.INT, "the first index"),
            "upper": AttrSpec(Kind.INT, "the index before which it ends"),
        },
        flow=flow.fori_loop,
        batch=flow.fori_batch,
        runs=rules.fori_runs,
    ),
    _control(
        "scan",
        "The carry, after the body has changed it once for each slice of the sequences, and "
        "what else each run returned, stacked on axis 0.",
        "carry..., sequences...",
        rules.infer_scan,
        attrs={
            "num_carry": AttrSpec(Kind.INT, "how many operands are the carry"),
            "length": AttrSpec(Kind.INT, "the length of axis 0 of all sequences"),
            "reverse": _REVERSE,
        },
        flow=flow.scan,
        batch=flow.scan_batch,
        runs=rules.scan_runs,
    ),
    _control(
        "map",
        "The results for each row of the operands, stacked on axis 0; one batch of rows "
        "after the other.",
        "x...",
        rules.infer_map,
        attrs={
            "batch_size": AttrSpec(
                Kind.INT, "how many rows are computed at once; 0 for one at a time", 0
            )
        },
        flow=flow.mapped,
        batch=flow.map_batch,
        runs=rules.map_runs,
        copies=rules.map_copies,
    ),
    _control(
        "associative_scan",
        "What an associative function of two elements makes of each element and all before "
        "it on axis 0.",
        "elements...",
        rules.infer_associative_scan,
        attrs={"reverse": _REVERSE},
        flow=flow.associative_scan,
        batch=flow.associative_batch,
        runs=rules.associative_runs,
        copies=rules.associative_copies,
    ),
    _control(
        "linear_solve",
        "The solution of A·x = b; functions: x to A·x, b to the solution, and b to that of "
        "the transposed system. Derivatives don't go through the solver.",
        "b...",
        rules.infer_linear_solve,
        num_functions=(2, 3),
        attrs={"symmetric": AttrSpec(Kind.BOOL, "whether A is its own transpose", False)},
        irreversible=rules.linear_irreversible,
    ),
    _control(
        "fixed_point",
        "An x with f(x) = x, by iteration. NaN if the residual ends above the tolerance while x "
        "still moves, by more than √eps of it in the last step or the last quarter of them. "
        "Derivatives are those of the equation, by the implicit function theorem; NaN if x is.",
        "first guess...",
        rules.infer_implicit,
        attrs=_IMPLICIT_ATTRS,
        runs=rules.implicit_runs,
        copies=rules.implicit_copies,
        matrix_rows=rules.implicit_copies,
        sweeps=(FORWARD,),
        own_rule=True,
        may_be_non_finite=True,
    ),
    _control(
        "root",
        "An x with f(x) = 0, by Newton's method with dense Jacobians. NaN and derivatives as of "
        "`fixed_point`.",
        "first guess...",
        rules.infer_implicit,
        attrs=_IMPLICIT_ATTRS,
        runs=rules.implicit_runs,
        copies=rules.implicit_copies,
        matrix_rows=rules.implicit_copies,
        sweeps=(FORWARD,),
        own_rule=True,
        may_be_non_finite=True,
    ),
)
