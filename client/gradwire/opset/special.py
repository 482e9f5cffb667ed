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
    domain: str = "",
    accuracy: tuple[float, float] | None = None,
    ufuncs: tuple[str, ...] | None = None,
) -> OpDef:
    """Makes an entry; without ``ufuncs``, that of SciPy's ufunc of the same name."""
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
        domain=domain,
        accuracy=accuracy,
        ufuncs=(f"scipy.special.{name}",) if ufuncs is None else ufuncs,
    )


def _infer_polygamma(call: Call) -> Sequence[TensorType]:
    (x,), order = call.inputs, call.attrs["n"]
    check_dtype(x.dtype, "floating", "`inputs`")
    require(0 <= order <= 100, lambda: f"`n` must be from 0 to 100; got {order}")
    return [x]


_LINE = "every x but the poles 0, -1, -2, …"
_EVERYWHERE = "every x"
_POSITIVE = "a, b > 0"
_GAMMA_DOMAIN = "a, x >= 0, of any size"

OPS = (
    _special(
        "beta",
        "a, b",
        "Beta function.",
        poles=True,
        domain=_POSITIVE,
        accuracy=(1e-13, 1e-12),
    ),
    _special(
        "betainc",
        "a, b, x",
        "Regularised incomplete beta function; derivatives by a and b too.",
        poles=True,
        own_rule=True,
        domain="a, b from 0 to 10**6, x from 0 to 1",
        accuracy=(1e-13, 1e-8),
    ),
    _special(
        "betaln",
        "a, b",
        "Logarithm of the beta function.",
        poles=True,
        domain=_POSITIVE,
        accuracy=(1e-14, 1e-12),
    ),
    _special(
        "digamma",
        "x",
        "Derivative of gammaln.",
        poles=True,
        domain=_LINE,
        accuracy=(1e-14, 1e-14),
        ufuncs=("scipy.special.digamma", "scipy.special.psi"),
    ),
    _special(
        "entr",
        "x",
        "-x * log(x); 0 at 0, -inf below, where the derivative is NaN.",
        poles=True,
        domain="x >= 0",
        accuracy=(1e-14, 1e-14),
    ),
    _special("erf", "x", "Error function.", domain=_EVERYWHERE, accuracy=(1e-14, 1e-12)),
    _special(
        "erfc",
        "x",
        "1 - erf(x), accurate where that is small.",
        domain=_EVERYWHERE,
        accuracy=(1e-14, 1e-12),
    ),
    _special(
        "erfcinv",
        "x",
        "Inverse of erfc.",
        poles=True,
        domain="x from 0 to 2",
        accuracy=(1e-13, 1e-12),
    ),
    _special(
        "erfcx",
        "x",
        "exp(x**2) * erfc(x), which neither overflows nor underflows for x > 0.",
        domain=_EVERYWHERE,
        accuracy=(1e-14, 1e-12),
    ),
    _special(
        "erfinv",
        "x",
        "Inverse of erf.",
        poles=True,
        domain="x from -1 to 1",
        accuracy=(1e-13, 1e-12),
    ),
    _special(
        "expit",
        "x",
        "1 / (1 + exp(-x)), the logistic sigmoid.",
        domain=_EVERYWHERE,
        accuracy=(1e-14, 1e-13),
    ),
    _special(
        "gamma",
        "x",
        "Gamma function.",
        poles=True,
        domain=_LINE,
        accuracy=(1e-14, 1e-13),
    ),
    _special(
        "gammainc",
        "a, x",
        "Regularised lower incomplete gamma function; derivatives by a too.",
        poles=True,
        own_rule=True,
        domain=_GAMMA_DOMAIN,
        accuracy=(1e-13, 1e-8),
    ),
    _special(
        "gammaincc",
        "a, x",
        "Regularised upper incomplete gamma function; derivatives by a too.",
        poles=True,
        own_rule=True,
        domain=_GAMMA_DOMAIN,
        accuracy=(1e-13, 1e-8),
    ),
    _special(
        "gammaln",
        "x",
        "Logarithm of |Γ(x)|.",
        poles=True,
        domain=_LINE,
        accuracy=(1e-14, 1e-14),
    ),
    _special(
        "i0",
        "x",
        "Modified Bessel function of the first kind, of order 0.",
        domain=_EVERYWHERE,
        accuracy=(1e-14, 1e-12),
    ),
    _special(
        "i0e",
        "x",
        "exp(-|x|) * i0(x); the derivative at 0 is -1, the one to the right.",
        domain=_EVERYWHERE,
        accuracy=(1e-14, 1e-10),
    ),
    _special(
        "i1",
        "x",
        "Modified Bessel function of the first kind, of order 1.",
        domain=_EVERYWHERE,
        accuracy=(1e-14, 1e-12),
    ),
    _special(
        "i1e",
        "x",
        "exp(-|x|) * i1(x).",
        domain=_EVERYWHERE,
        accuracy=(1e-14, 1e-10),
    ),
    _special(
        "kl_div",
        "x, y",
        "x * log(x / y) - x + y; y for x = 0, inf where an operand is below 0 or only y is 0.",
        poles=True,
        domain="x, y >= 0",
        accuracy=(1e-14, 1e-14),
    ),
    _special(
        "log_ndtr",
        "x",
        "log(ndtr(x)), accurate far below 0.",
        domain=_EVERYWHERE,
        accuracy=(1e-14, 1e-12),
    ),
    _special(
        "loggamma",
        "x",
        "Logarithm of Γ(x); gammaln serves negative x.",
        poles=True,
        domain="x > 0",
        accuracy=(1e-14, 1e-14),
    ),
    _special(
        "logit",
        "x",
        "log(x / (1 - x)).",
        poles=True,
        domain="x from 0 to 1",
        accuracy=(1e-14, 1e-13),
    ),
    _special(
        "ndtr",
        "x",
        "Distribution function of the standard normal.",
        domain=_EVERYWHERE,
        accuracy=(1e-14, 1e-12),
    ),
    _special(
        "ndtri",
        "x",
        "Inverse of ndtr.",
        poles=True,
        domain="x from 0 to 1",
        accuracy=(1e-13, 1e-12),
    ),
    OpDef(
        "special.polygamma",
        "Derivative of digamma, of order n.",
        _infer_polygamma,
        attrs={"n": AttrSpec(Kind.INT, "the order, from 0 to 100")},
        batch=lambda call, axes: [axes[0]],
        may_be_non_finite=True,
        operands="x",
        dtypes="floating",
        domain=_LINE,
        accuracy=(1e-13, 1e-13),
    ),
    _special(
        "rel_entr",
        "x, y",
        "x * log(x / y); 0 for x = 0, inf where an operand is below 0 or only y is 0.",
        poles=True,
        domain="x, y >= 0",
        accuracy=(1e-14, 1e-14),
    ),
    _special(
        "sinc",
        "x",
        "sin(πx) / (πx), and 1 at 0.",
        wanted="inexact",
        domain=_EVERYWHERE,
        accuracy=(1e-14, 1e-12),
        ufuncs=(),
    ),
    _special(
        "xlog1py",
        "x, y",
        "x * log(1 + y), and 0 for x = 0.",
        poles=True,
        domain="y > -1",
        accuracy=(1e-14, 1e-14),
    ),
    _special(
        "xlogy",
        "x, y",
        "x * log(y), and 0 for x = 0.",
        poles=True,
        domain="y > 0",
        accuracy=(1e-14, 1e-14),
    ),
    _special(
        "zeta",
        "x, q",
        "Hurwitz zeta function, Σ (q + k)**-x; derivatives by x too, where q > 0.",
        poles=True,
        own_rule=True,
        domain="x > 1 and q > 0, or whole x > 1 and every q but the poles 0, -1, -2, …",
        accuracy=(1e-14, 1e-13),
        ufuncs=(),
    ),
)
