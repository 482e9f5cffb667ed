"""The elementwise family: one output element for each broadcast input element."""

from __future__ import annotations

from collections.abc import Sequence

from gradwire.opset.core import (
    AttrSpec,
    Axes,
    Call,
    Derivatives,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.rules import (
    broadcast_shapes,
    check_dtype,
    checked,
    elementwise,
    elementwise_batch,
    same_dtype,
)
from gradwire.tensors import TensorType


def _map(
    name: str,
    arity: int,
    wanted: str,
    doc: str,
    *,
    result: str = "same",
    derivatives: Derivatives = Derivatives.ANY,
    poles: bool = False,
    operands: str = "x, y",
    view: bool = False,
    ufuncs: tuple[str, ...] | None = None,
) -> OpDef:
    """Makes an entry; without ``ufuncs``, that of NumPy's ufunc of the same name."""
    return OpDef(
        name,
        doc,
        elementwise(wanted, result),
        (arity, arity),
        derivatives=derivatives,
        batch=elementwise_batch,
        may_be_non_finite=poles,
        operands="x" if arity == 1 else operands,
        dtypes=wanted,
        view=view,
        ufuncs=(f"numpy.{name}",) if ufuncs is None else ufuncs,
    )


_ZERO = Derivatives.ZERO


def _infer_astype(call: Call) -> Sequence[TensorType]:
    (x,) = call.inputs
    return [TensorType(call.attrs["dtype"], x.shape)]


def _infer_where(call: Call) -> Sequence[TensorType]:
    check_dtype(call.inputs[0].dtype, "bool", "`inputs[0]`")
    dtype = same_dtype(call, 1)
    return [checked(dtype, broadcast_shapes([operand.shape for operand in call.inputs]))]


def _infer_bitcast(call: Call) -> Sequence[TensorType]:
    (x,), dtype = call.inputs, call.attrs["dtype"]
    check_dtype(x.dtype, "real", "`inputs[0]`")
    check_dtype(dtype, "real", "`dtype`")
    require(
        x.dtype.itemsize == dtype.itemsize,
        lambda: f"`dtype` must have the size of {x.dtype.name}; got {dtype.name}",
    )
    return [TensorType(dtype, x.shape)]


def _infer_integer_pow(call: Call) -> Sequence[TensorType]:
    (x,), exponent = call.inputs, call.attrs["exponent"]
    check_dtype(x.dtype, "numeric", "`inputs`")
    require(
        exponent >= 0 or x.dtype.kind not in "iu",
        lambda: f"`exponent` must not be negative for {x.dtype.name}; got {exponent}",
    )
    return [x]


def _infer_reduce_precision(call: Call) -> Sequence[TensorType]:
    (x,) = call.inputs
    check_dtype(x.dtype, "floating", "`inputs`")
    for name, least, greatest in (("exponent_bits", 1, 11), ("mantissa_bits", 0, 52)):
        bits = call.attrs[name]
        require(
            least <= bits <= greatest,
            lambda n=name, a=least, z=greatest, b=bits: (  # type: ignore[misc]
                f"`{n}` must be from {a} to {z}; got {b}"
            ),
        )
    return [x]


def _same_axis(call: Call, axes: Axes) -> Axes:
    return [axes[0]]


OPS = (
    _map(
        "abs",
        1,
        "numeric",
        "Absolute value; the derivative at 0 is 1, the one to the right. For complex numbers it "
        "is 0 there, and further ones NaN.",
        result="real",
        poles=True,
    ),
    _map("acos", 1, "inexact", "Inverse cosine.", poles=True),
    _map("acosh", 1, "inexact", "Inverse hyperbolic cosine.", poles=True),
    _map("asin", 1, "inexact", "Inverse sine.", poles=True),
    _map("asinh", 1, "inexact", "Inverse hyperbolic sine."),
    _map("atan", 1, "inexact", "Inverse tangent."),
    _map("atanh", 1, "inexact", "Inverse hyperbolic tangent.", poles=True),
    _map(
        "cbrt", 1, "floating", "Cube root.", poles=True, ufuncs=("numpy.cbrt", "scipy.special.cbrt")
    ),
    _map("ceil", 1, "floating", "Smallest integer not below x.", derivatives=_ZERO),
    _map("conj", 1, "numeric", "Complex conjugate."),
    _map("cos", 1, "inexact", "Cosine."),
    _map("cosh", 1, "inexact", "Hyperbolic cosine."),
    _map("exp", 1, "inexact", "Exponential."),
    _map("exp2", 1, "inexact", "Power of two.", ufuncs=("numpy.exp2", "scipy.special.exp2")),
    _map(
        "expm1",
        1,
        "inexact",
        "exp(x) - 1, accurate near 0.",
        ufuncs=("numpy.expm1", "scipy.special.expm1"),
    ),
    _map("floor", 1, "floating", "Largest integer not above x.", derivatives=_ZERO),
    _map("imag", 1, "complex", "Imaginary part.", result="real", view=True, ufuncs=()),
    _map("isfinite", 1, "numeric", "Neither NaN nor infinite.", result="bool", derivatives=_ZERO),
    _map("isinf", 1, "numeric", "Infinite.", result="bool", derivatives=_ZERO),
    _map("isnan", 1, "numeric", "Not a number.", result="bool", derivatives=_ZERO),
    _map("log", 1, "inexact", "Natural logarithm.", poles=True),
    _map("log10", 1, "inexact", "Logarithm to base 10.", poles=True),
    _map(
        "log1p",
        1,
        "inexact",
        "log(1 + x), accurate near 0.",
        poles=True,
        ufuncs=("numpy.log1p", "scipy.special.log1p"),
    ),
    _map("log2", 1, "inexact", "Logarithm to base 2.", poles=True),
    _map("negative", 1, "numeric", "-x."),
    _map("real", 1, "complex", "Real part.", result="real", view=True, ufuncs=()),
    _map("reciprocal", 1, "inexact", "1 / x.", poles=True),
    _map(
        "round",
        1,
        "floating",
        "Nearest integer, ties to even.",
        derivatives=_ZERO,
        ufuncs=("numpy.rint",),
    ),
    _map("rsqrt", 1, "inexact", "1 / sqrt(x).", poles=True, ufuncs=()),
    _map("sign", 1, "numeric", "x / |x|, and 0 at 0; the derivative is 0, but for complex x."),
    _map("sin", 1, "inexact", "Sine."),
    _map("sinh", 1, "inexact", "Hyperbolic sine."),
    _map("sqrt", 1, "inexact", "Square root; at 0 the derivative is inf.", poles=True),
    _map("square", 1, "numeric", "x * x."),
    _map("tan", 1, "inexact", "Tangent."),
    _map("tanh", 1, "inexact", "Hyperbolic tangent."),
    _map("trunc", 1, "floating", "x without its fraction.", derivatives=_ZERO),
    OpDef(
        "astype",
        "Converts to a dtype as NumPy does; complex to real drops the imaginary part.",
        _infer_astype,
        attrs={"dtype": AttrSpec(Kind.DTYPE, "the dtype of the result")},
        batch=_same_axis,
        operands="x",
        dtypes="any",
    ),
    OpDef(
        "bitcast",
        "The same bits as a real dtype of the same size.",
        _infer_bitcast,
        attrs={"dtype": AttrSpec(Kind.DTYPE, "the dtype of the result")},
        derivatives=_ZERO,
        batch=_same_axis,
        operands="x",
        dtypes="real",
    ),
    OpDef(
        "integer_pow",
        "x to a fixed integer power.",
        _infer_integer_pow,
        attrs={"exponent": AttrSpec(Kind.INT, "the power; not negative for integers")},
        batch=_same_axis,
        operands="x",
        dtypes="numeric",
        may_be_non_finite=True,
    ),
    OpDef(
        "reduce_precision",
        "Rounds to fewer bits; a derivative passes through, rounded likewise.",
        _infer_reduce_precision,
        attrs={
            "exponent_bits": AttrSpec(Kind.INT, "bits of the exponent, from 1 to 11"),
            "mantissa_bits": AttrSpec(Kind.INT, "bits after the leading one, from 0 to 52"),
        },
        batch=_same_axis,
        operands="x",
        dtypes="floating",
    ),
    _map("add", 2, "numeric", "x + y."),
    _map("atan2", 2, "floating", "Angle of the point (x, y).", poles=True, operands="y, x"),
    _map("complex", 2, "floating32", "x + iy.", result="complex", ufuncs=()),
    _map("copysign", 2, "floating", "|x| with the sign of y, which is the derivative at x = 0."),
    _map("divide", 2, "inexact", "x / y.", poles=True),
    _map("equal", 2, "any", "x == y.", result="bool", derivatives=_ZERO),
    _map("floor_divide", 2, "real", "floor(x / y); 0 for integers and y = 0.", derivatives=_ZERO),
    _map("fmod", 2, "real", "Remainder with the sign of x.", poles=True),
    _map("greater", 2, "ordered", "x > y.", result="bool", derivatives=_ZERO),
    _map("greater_equal", 2, "ordered", "x >= y.", result="bool", derivatives=_ZERO),
    _map("heaviside", 2, "floating", "0 for x < 0, y at x = 0, 1 for x > 0."),
    _map(
        "hypot",
        2,
        "floating",
        "sqrt(x*x + y*y) without overflow; at (0, 0) the derivative is 0, further ones NaN.",
        poles=True,
    ),
    _map("less", 2, "ordered", "x < y.", result="bool", derivatives=_ZERO),
    _map("less_equal", 2, "ordered", "x <= y.", result="bool", derivatives=_ZERO),
    _map("logaddexp", 2, "floating", "log(exp(x) + exp(y)) without overflow."),
    _map("maximum", 2, "ordered", "The larger; a tie shares the derivative in halves."),
    _map("minimum", 2, "ordered", "The smaller; a tie shares the derivative in halves."),
    _map("multiply", 2, "numeric", "x * y."),
    _map("nextafter", 2, "floating", "The next number from x to y.", derivatives=Derivatives.NONE),
    _map("not_equal", 2, "any", "x != y.", result="bool", derivatives=_ZERO),
    _map(
        "pow",
        2,
        "numeric",
        "x to the power y; integers need y >= 0. By y, the derivative is 0 for x = 0.",
        poles=True,
        ufuncs=(),
    ),
    _map("remainder", 2, "real", "Remainder with the sign of y.", poles=True),
    _map("subtract", 2, "numeric", "x - y."),
    _map("logical_and", 2, "bool", "x and y.", derivatives=_ZERO),
    _map("logical_not", 1, "bool", "not x.", derivatives=_ZERO),
    _map("logical_or", 2, "bool", "x or y.", derivatives=_ZERO),
    _map("logical_xor", 2, "bool", "x or y, not both.", derivatives=_ZERO),
    _map("bitwise_and", 2, "bitwise", "Bits of both.", derivatives=_ZERO),
    _map("bitwise_invert", 1, "bitwise", "Bits flipped.", derivatives=_ZERO),
    _map("bitwise_left_shift", 2, "integer", "x * 2**y in the bits.", derivatives=_ZERO),
    _map("bitwise_or", 2, "bitwise", "Bits of either.", derivatives=_ZERO),
    _map("bitwise_right_shift", 2, "integer", "x // 2**y in the bits.", derivatives=_ZERO),
    _map("bitwise_xor", 2, "bitwise", "Bits of one but not both.", derivatives=_ZERO),
    _map(
        "clip",
        3,
        "real",
        "min(max(x, low), high); at a bound the derivative is shared in halves.",
        operands="x, low, high",
        ufuncs=(),
    ),
    OpDef(
        "where",
        "x where the condition holds, y elsewhere.",
        _infer_where,
        (3, 3),
        batch=elementwise_batch,
        operands="condition, x, y",
        dtypes="any",
        own_dtype=(0,),
    ),
)
