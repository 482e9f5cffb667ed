"""The reduction family: fewer elements along named axes, and running totals along one."""

from __future__ import annotations

from collections.abc import Sequence

from gradwire.opset.core import (
    ALL_AXES,
    BOOL,
    INT64,
    AttrSpec,
    Call,
    Derivatives,
    InferRule,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.rules import (
    along_axis_batch,
    attr_axes,
    check_dtype,
    checked,
    real_part,
    reduced_shape,
    reduction_batch,
)
from gradwire.tensors import TensorType

_AXES = AttrSpec(
    Kind.INTS, "the axes to reduce; none of them leaves each element alone", omitted=ALL_AXES
)
_AXIS = AttrSpec(Kind.INT, "the axis")
_KEEPDIMS = AttrSpec(Kind.BOOL, "whether reduced axes stay, with length 1", False)


def _reduce(wanted: str, result: str = "same", *, identity: bool = True) -> InferRule:
    """Makes the rule of a reduction of `axis`; without an identity, empty axes are refused."""

    def infer(call: Call) -> Sequence[TensorType]:
        (x,) = call.inputs
        check_dtype(x.dtype, wanted, "`inputs[0]`")
        axes = attr_axes(call)
        require(
            identity or all(x.shape[axis] for axis in axes),
            lambda: f"`axis` must name axes that are not empty; got {axes} of {x}",
        )
        dtype = {"same": x.dtype, "bool": BOOL, "int64": INT64, "real": real_part(x.dtype)}[result]
        return [checked(dtype, reduced_shape(x.shape, axes, call.attrs["keepdims"]))]

    return infer


def _reduction(
    name: str,
    wanted: str,
    doc: str,
    *,
    result: str = "same",
    identity: bool = True,
    derivatives: Derivatives = Derivatives.ANY,
    poles: bool = False,
    single: bool = False,
    more: dict[str, AttrSpec] | None = None,
    ufunc: str = "",
) -> OpDef:
    return OpDef(
        name,
        doc,
        _reduce(wanted, result, identity=identity),
        attrs={"axis": _AXIS if single else _AXES, "keepdims": _KEEPDIMS, **(more or {})},
        derivatives=derivatives,
        batch=reduction_batch,
        operands="x",
        dtypes=wanted,
        may_be_non_finite=poles,
        ufunc_method=f"{ufunc}.reduce" if ufunc else "",
    )


def _running(wanted: str) -> InferRule:
    def infer(call: Call) -> Sequence[TensorType]:
        (x,) = call.inputs
        check_dtype(x.dtype, wanted, "`inputs[0]`")
        (axis,) = attr_axes(call)
        longer = call.attrs.get("include_initial", False)
        shape = [n + (longer and i == axis) for i, n in enumerate(x.shape)]
        return [checked(x.dtype, shape)]

    return infer


def _cumulative(name: str, wanted: str, doc: str, *, ufunc: str, initial: bool = False) -> OpDef:
    start = AttrSpec(Kind.BOOL, "whether the result starts with the empty total", False)
    return OpDef(
        name,
        doc,
        _running(wanted),
        attrs={"axis": _AXIS} | ({"include_initial": start} if initial else {}),
        batch=along_axis_batch,
        operands="x",
        dtypes=wanted,
        ufunc_method=f"{ufunc}.accumulate",
    )


_ZERO = Derivatives.ZERO
_CORRECTION = {"correction": AttrSpec(Kind.FLOAT, "subtracted from the count in the divisor", 0.0)}

OPS = (
    _reduction(
        "all",
        "any",
        "Whether all elements are true, or not 0.",
        result="bool",
        derivatives=_ZERO,
        ufunc="logical_and",
    ),
    _reduction(
        "any",
        "any",
        "Whether any element is true, or not 0.",
        result="bool",
        derivatives=_ZERO,
        ufunc="logical_or",
    ),
    _reduction(
        "argmax",
        "ordered",
        "Position of the first largest element, or of the first NaN.",
        result="int64",
        identity=False,
        derivatives=_ZERO,
        single=True,
    ),
    _reduction(
        "argmin",
        "ordered",
        "Position of the first smallest element, or of the first NaN.",
        result="int64",
        identity=False,
        derivatives=_ZERO,
        single=True,
    ),
    _reduction(
        "count_nonzero",
        "any",
        "The number of elements that are not 0.",
        result="int64",
        derivatives=_ZERO,
    ),
    _cumulative("cumulative_logsumexp", "floating", "Running logsumexp.", ufunc="logaddexp"),
    _cumulative(
        "cumulative_max",
        "real",
        "Running maximum; a tie shares the derivative in halves.",
        ufunc="maximum",
    ),
    _cumulative(
        "cumulative_min",
        "real",
        "Running minimum; a tie shares the derivative in halves.",
        ufunc="minimum",
    ),
    _cumulative(
        "cumulative_prod",
        "numeric",
        "Running product, in x's dtype.",
        initial=True,
        ufunc="multiply",
    ),
    _cumulative(
        "cumulative_sum", "numeric", "Running sum, in x's dtype.", initial=True, ufunc="add"
    ),
    _reduction(
        "logsumexp",
        "floating",
        "log(sum(exp(x))) without overflow; -inf of nothing.",
        ufunc="logaddexp",
    ),
    _reduction(
        "max",
        "ordered",
        "The largest element; ties share the derivative equally; NaN has the derivative NaN.",
        identity=False,
        ufunc="maximum",
    ),
    _reduction("mean", "inexact", "The mean; NaN of nothing."),
    _reduction(
        "min",
        "ordered",
        "The smallest element; ties share the derivative equally; NaN has the derivative NaN.",
        identity=False,
        ufunc="minimum",
    ),
    _reduction("prod", "numeric", "The product, in x's dtype.", ufunc="multiply"),
    _reduction(
        "std",
        "inexact",
        "Standard deviation, the square root of `var`; where it is 0 so is its derivative, and "
        "further ones are NaN.",
        result="real",
        poles=True,
        more=_CORRECTION,
    ),
    _reduction("sum", "numeric", "The sum, in x's dtype.", ufunc="add"),
    _reduction(
        "var",
        "inexact",
        "Mean of |x - mean(x)|**2; NaN if `correction` leaves no divisor above 0.",
        result="real",
        poles=True,
        more=_CORRECTION,
    ),
)
