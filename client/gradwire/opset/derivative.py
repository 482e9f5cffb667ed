"""The operator family: ops that run, map and differentiate functions.

The operands of an operator are captured values (``num_captures``), then the
function's arguments, then operands of the operator itself, such as tangents.
Its outputs are the function's values, then the derivatives (for each value,
for each leaf of ``wrt``), then the function's aux results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gradwire.opset import derivative_batch as batch
from gradwire.opset import derivative_rules as rules
from gradwire.opset import trace_rules
from gradwire.opset.core import (
    UNBOUNDED,
    AttrSpec,
    Call,
    Derivatives,
    InferRule,
    Kind,
    OpDef,
    OperatorBatchRule,
    Runs,
)
from gradwire.opset.differentiation import (
    CHUNK_ATTR,
    COMMON_ATTRS,
    FORWARD,
    HOLOMORPHIC_ATTR,
    INNER_MODE_ATTR,
    MODE_ATTR,
    PARAMETER_MODE_ATTR,
    REVERSE,
)

_ESTIMATE_ATTRS: Mapping[str, AttrSpec] = {
    "operator": AttrSpec(
        Kind.WORD, "the matrix whose trace or diagonal is meant", choices=("jacobian", "hessian")
    ),
    "method": AttrSpec(
        Kind.WORD,
        "the estimator; exact needs a product for each input",
        "hutchinson",
        choices=("hutchinson", "exact"),
    ),
    "num_samples": AttrSpec(Kind.INT, "the number of probes"),
    "probes": AttrSpec(Kind.BOOL, "whether the last operands are probes, not a seed", False),
    "distribution": AttrSpec(
        Kind.WORD, "what probes are drawn from", "rademacher", choices=("rademacher", "gaussian")
    ),
}


def _operator(
    name: str,
    doc: str,
    infer: InferRule,
    operator_batch: OperatorBatchRule,
    *,
    sweeps: tuple[str, ...] | Callable[[Call], tuple[str, ...]] = (),
    attrs: Mapping[str, AttrSpec] | None = None,
    copies: Callable[[Call], int] | None = None,
    runs: Callable[[Call], Runs] | None = None,
) -> OpDef:
    return OpDef(
        name,
        doc,
        infer,
        (0, UNBOUNDED),
        attrs={**(COMMON_ATTRS if sweeps else {}), **(attrs or {})},
        num_functions=1,
        operator_batch=operator_batch,
        sweeps=sweeps,
        copies=copies,
        runs=runs,
    )


_MAPPED = AttrSpec(Kind.INTS, "1 for each operand that carries the mapped axis on axis 0, else 0")
_INDEPENDENT = AttrSpec(
    Kind.BOOL,
    "whether the caller guarantees that samples don't mix, if that can't be proved",
    False,
)

OPS = (
    _operator("call", "Runs a function.", rules.infer_call, batch.call),
    _operator(
        "checkpoint",
        "Runs a function; reverse sweeps compute its intermediates again rather than keep them.",
        rules.infer_call,
        batch.call,
        runs=lambda call: Runs(recomputed=True),
    ),
    _operator(
        "vmap",
        "Runs a function once for each row of the mapped operands.",
        rules.infer_vmap,
        batch.vmap,
        attrs={"mapped": _MAPPED},
        copies=rules.vmap_copies,
    ),
    OpDef(
        "stop_gradient",
        "The value itself, constant for every derivative.",
        lambda call: [call.inputs[0]],
        derivatives=Derivatives.ZERO,
        batch=lambda call, axes: [axes[0]],
        operands="x",
        dtypes="any",
    ),
    _operator(
        "jvp",
        "Value and J·t; operands end with tangents.",
        rules.infer_jvp,
        batch.jvp,
        sweeps=(FORWARD,),
    ),
    _operator(
        "vjp",
        "Value and uᵀJ; operands end with cotangents.",
        rules.infer_vjp,
        batch.vjp,
        sweeps=(REVERSE,),
    ),
    _operator(
        "grad",
        "Value and gradient of a scalar function.",
        rules.infer_grad,
        batch.grad,
        sweeps=(REVERSE,),
        attrs={"holomorphic": HOLOMORPHIC_ATTR},
    ),
    _operator(
        "jacobian",
        "Value and Jacobian, (*out, *in).",
        rules.infer_jacobian,
        batch.jacobian,
        sweeps=rules.jacobian_sweeps,
        attrs={"mode": MODE_ATTR, "chunk": CHUNK_ATTR, "holomorphic": HOLOMORPHIC_ATTR},
        copies=rules.jacobian_copies,
    ),
    _operator(
        "batched_jacobian",
        "Value and Jacobian of each sample, (B, *out, *in), of a function of a whole batch.",
        rules.infer_batched_jacobian,
        batch.jacobian,
        sweeps=rules.batched_jacobian_sweeps,
        attrs={
            "mapped": AttrSpec(Kind.INTS, "1 for each argument with the batch on axis 0, else 0"),
            "mode": MODE_ATTR,
            "parameter_mode": PARAMETER_MODE_ATTR,
            "chunk": CHUNK_ATTR,
            "holomorphic": HOLOMORPHIC_ATTR,
            "independent": _INDEPENDENT,
        },
        copies=rules.batched_jacobian_copies,
    ),
    _operator(
        "hessian",
        "Value and second derivatives, (*out, *in, *in).",
        rules.infer_hessian,
        batch.hessian,
        sweeps=rules.hessian_sweeps,
        attrs={"inner_mode": INNER_MODE_ATTR, "chunk": CHUNK_ATTR},
        copies=rules.hessian_copies,
    ),
    _operator(
        "hessian_diagonal",
        "Value and unmixed second derivatives, (*out, *in).",
        rules.infer_hessian_diagonal,
        batch.jacobian,
        sweeps=(FORWARD, FORWARD),
        attrs={"chunk": CHUNK_ATTR},
        copies=rules.input_copies,
    ),
    _operator(
        "laplacian",
        "Value and sum of the unmixed second derivatives, (*out), over all leaves.",
        rules.infer_laplacian,
        batch.laplacian,
        sweeps=(FORWARD, FORWARD),
        attrs={
            "with_grad": AttrSpec(Kind.BOOL, "whether first derivatives are returned too", False),
            "chunk": CHUNK_ATTR,
        },
        copies=rules.input_copies,
    ),
    _operator(
        "hvp",
        "Value and H·t of a scalar function; operands end with tangents.",
        rules.infer_hvp,
        batch.hvp,
        sweeps=(FORWARD, REVERSE),
    ),
    _operator(
        "jacobian_trace",
        "Value and exact trace of the Jacobian.",
        trace_rules.infer_jacobian_trace,
        batch.trace,
        sweeps=(FORWARD,),
        attrs={"chunk": CHUNK_ATTR},
        copies=rules.input_copies,
    ),
    _operator(
        "trace_estimate",
        "Value, estimated trace, standard error; operands end with a seed or probes.",
        trace_rules.infer_trace_estimate,
        batch.trace_estimate,
        sweeps=trace_rules.trace_sweeps,
        attrs=_ESTIMATE_ATTRS,
        copies=trace_rules.estimate_copies,
    ),
    _operator(
        "diagonal_estimate",
        "Value, estimated diagonal, standard error; operands end with a seed or probes.",
        trace_rules.infer_diagonal_estimate,
        batch.diagonal_estimate,
        sweeps=trace_rules.diagonal_sweeps,
        attrs=_ESTIMATE_ATTRS,
        copies=trace_rules.estimate_copies,
    ),
)
