"""Special functions, elementwise. Names as in SciPy."""

from __future__ import annotations

from collections.abc import Sequence

from gradwire.opset.core import AttrSpec, Call, Kind, OpDef, require
from gradwire.opset.rules import check_dtype, elementwise, elementwise_batch
from gradwire.tensors import TensorType


def _special(
    name: str,
    operands: str,
    doc: str,
    *,
    wanted: str = "floating",
    poles: bool = False,
    own_rule: bool = False,
) -> OpDef:
    arity = operands.count(",") + 1
    return OpDef(
        f"special.{name}",
        doc,
        elementwise(wanted),
        (arity, arity),
        batch=elementwise_batch,
        may_be_non_finite=poles,
        own_rule=own_rule,
        operands=operands,
        dtypes=wanted,
    )


def _infer_polygamma(call: Call) -> Sequence[TensorType]:
    (x,), order = call.inputs, call.attrs["n"]
    check_dtype(x.dtype, "floating", "`inputs`")
    require(0 <= order <= 100, lambda: f"`n` must be from 0 to 100; got {order}")
    return [x]


OPS = (
    _special(
        "betainc",
        "a, b, x",
        "Regularised incomplete beta function; derivatives by a and b too, accurate up to 10**6.",
        poles=True,
        own_rule=True,
    ),
    _special("betaln", "a, b", "Logarithm of the beta function, for a, b > 0.", poles=True),
    _special("digamma", "x", "Derivative of gammaln.", poles=True),
    _special("entr", "x", "-x * log(x); 0 at 0, -inf below.", poles=True),
    _special("erf", "x", "Error function."),
    _special("erfc", "x", "1 - erf(x), accurate where that is small."),
    _special("erfinv", "x", "Inverse of erf.", poles=True),
    _special("expit", "x", "1 / (1 + exp(-x)), the logistic sigmoid."),
    _special(
        "gammainc",
        "a, x",
        "Regularised lower incomplete gamma function; derivatives by a too, accurate up to 10**6.",
        poles=True,
        own_rule=True,
    ),
    _special(
        "gammaincc",
        "a, x",
        "Regularised upper incomplete gamma function; derivatives by a too, accurate up to 10**6.",
        poles=True,
        own_rule=True,
    ),
    _special("gammaln", "x", "Logarithm of |Γ(x)|.", poles=True),
    _special("i0", "x", "Modified Bessel function of the first kind, of order 0."),
    _special("i0e", "x", "exp(-|x|) * i0(x); derivative 0 at 0, where it has a kink."),
    _special("i1", "x", "Modified Bessel function of the first kind, of order 1."),
    _special("i1e", "x", "exp(-|x|) * i1(x)."),
    _special("log_ndtr", "x", "log(ndtr(x)), accurate far below 0."),
    _special("logit", "x", "log(x / (1 - x)).", poles=True),
    _special("ndtr", "x", "Distribution function of the standard normal."),
    _special("ndtri", "x", "Inverse of ndtr.", poles=True),
    OpDef(
        "special.polygamma",
        "Derivative of digamma, of order n.",
        _infer_polygamma,
        attrs={"n": AttrSpec(Kind.INT, "the order, from 0 to 100")},
        batch=lambda call, axes: [axes[0]],
        may_be_non_finite=True,
        operands="x",
        dtypes="floating",
    ),
    _special("sinc", "x", "sin(πx) / (πx), and 1 at 0.", wanted="inexact"),
    _special("xlog1py", "x, y", "x * log(1 + y), and 0 for x = 0.", poles=True),
    _special("xlogy", "x, y", "x * log(y), and 0 for x = 0.", poles=True),
    _special("zeta", "x, q", "Hurwitz zeta function, Σ (q + k)**-x, for x > 1.", poles=True),
)
