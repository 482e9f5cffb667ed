"""The special cases that the Python Array API standard lists for each elementwise function.

From its draft of 2026, section "Elementwise Functions". A line is one case or
several with one outcome, separated by commas: what the operands are, an arrow,
what comes. Operands: ``0``, ``-0`` and other numbers; ``zero``, ``inf``,
``-inf``, ``infs`` of either sign, ``nan``; ``finite``, ``pos``, ``neg`` and
``nonzero`` finite ones; ``above`` and ``below`` 0, ``odd`` and ``even``
integers, ``broken`` ones that aren't integers, ``real`` ones that aren't NaN;
``>1``, ``<1``, ``<-1``; ``big``, ``small`` and ``unit`` in magnitude; ``any``.
Outcomes: a number, ``nan``, ``x`` and ``y`` for the operands and ``|x|``;
``?inf`` and ``?0`` of either sign; ``inf*cos`` for that times cos y, ``sin2`` for sin 2y.
"""

from __future__ import annotations

_INVERSE_SINE = "nan, >1, <-1 -> nan"
_ROUNDED = "inf, -inf, 0, -0, nan, -2, 3 -> x"
_LOG = "nan, below -> nan; zero -> -inf; 1 -> 0; inf -> inf"
_ODD = "nan -> nan; zero -> x"

REAL = {
    "abs": "nan -> nan; -0 -> 0; infs -> inf; neg, pos -> |x|",
    "acos": f"{_INVERSE_SINE}; 1 -> 0",
    "acosh": "nan, <1 -> nan; 1 -> 0; inf -> inf",
    "asin": f"{_INVERSE_SINE}; zero -> x",
    "asinh": f"{_ODD}; infs -> x",
    "atan": f"{_ODD}; inf -> π/2; -inf -> -π/2",
    "atanh": f"{_ODD}; >1, <-1 -> nan; 1 -> inf; -1 -> -inf",
    "ceil": _ROUNDED,
    "cos": "nan, infs -> nan; zero -> 1",
    "cosh": "nan -> nan; zero -> 1; infs -> inf",
    "exp": "nan -> nan; zero -> 1; inf -> inf; -inf -> 0",
    "expm1": f"{_ODD}; inf -> inf; -inf -> -1",
    "floor": _ROUNDED,
    "log": _LOG,
    "log10": _LOG,
    "log1p": f"{_ODD}; <-1 -> nan; -1 -> -inf; inf -> inf",
    "log2": _LOG,
    "round": f"{_ROUNDED}; 0.5 -> 0; 1.5 -> 2; -1.5 -> -2; -0.5 -> -0",
    "sign": "below -> -1; zero -> 0; above -> 1; nan -> nan",
    "sin": f"{_ODD}; infs -> nan",
    "sinh": f"{_ODD}; infs -> x",
    "sqrt": f"{_ODD}; below -> nan; inf -> inf",
    "tan": f"{_ODD}; infs -> nan",
    "tanh": f"{_ODD}; inf -> 1; -inf -> -1",
    "trunc": _ROUNDED,
}
"""Of one real number."""

_NAN = "nan any, any nan -> nan"
_QUOTIENT = f"""{_NAN}; infs infs, zero zero -> nan
0 above, -0 below -> 0; -0 above, 0 below -> -0
above 0, below -0 -> inf; above -0, below 0 -> -inf"""

PAIRS = {
    "add": f"""{_NAN}; inf -inf, -inf inf -> nan; inf inf, inf finite, finite inf -> inf
        -inf -inf, -inf finite, finite -inf -> -inf; -0 -0 -> -0; -0 0, 0 -0, 0 0 -> 0
        zero nonzero -> y; nonzero zero -> x; 2 -2, -3 3 -> 0""",
    "atan2": f"""{_NAN}; above zero -> π/2; 0 above, 0 0 -> 0; 0 -0, 0 below -> π
        -0 above, -0 0 -> -0; -0 -0, -0 below -> -π; below zero -> -π/2
        pos inf -> 0; pos -inf -> π; neg inf -> -0; neg -inf -> -π; inf finite -> π/2
        -inf finite -> -π/2; inf inf -> π/4; inf -inf -> 3π/4; -inf inf -> -π/4
        -inf -inf -> -3π/4""",
    "copysign": "real below, real -0 -> -|x|; real above, real 0 -> |x|",
    "divide": f"""{_QUOTIENT}; inf pos, -inf neg -> inf; inf neg, -inf pos -> -inf
        pos inf, neg -inf -> 0; pos -inf, neg inf -> -0""",
    "floor_divide": f"""{_QUOTIENT}; pos inf, neg -inf -> 0
        pos -inf, neg inf -> -1; infs nonzero -> nan""",  # the standard allows what NumPy does
    "hypot": """infs any, any infs -> inf; zero real -> |y|; real zero -> |x|
        finite nan, nan finite, nan nan -> nan""",
    "logaddexp": f"{_NAN}; inf real, real inf -> inf",
    "multiply": f"""{_NAN}; infs zero, zero infs -> nan; inf above, above inf -> inf
        -inf below, below -inf -> inf; inf below, below inf, -inf above, above -inf -> -inf""",
    "nextafter": f"{_NAN}; -0 0 -> 0; 0 -0 -> -0",
    "pow": """-1 nan, <1 nan, >1 nan -> nan; any zero -> 1; nan nonzero, nan infs -> nan
        big inf, small -inf -> inf; big -inf, small inf -> 0; unit infs -> 1; 1 real -> 1
        inf above -> inf; inf below -> 0
        -inf pos_odd -> -inf; -inf pos_even, -inf pos_broken -> inf; -inf neg_odd -> -0
        -inf neg_even, -inf neg_broken -> 0; 0 above -> 0; 0 below -> inf; -0 pos_odd -> -0
        -0 pos_even, -0 pos_broken -> 0; -0 neg_odd -> -inf; -0 neg_even, -0 neg_broken -> inf
        neg broken -> nan""",
    "remainder": f"""{_NAN}; infs infs, zero zero, nonzero zero, infs nonzero -> nan
        zero above -> 0; zero below -> -0; pos inf -> x; pos -inf -> y; neg inf -> y
        neg -inf -> x""",
    "subtract": f"""{_NAN}; inf inf, -inf -inf -> nan; inf -inf, inf finite, finite -inf -> inf
        -inf inf, -inf finite, finite inf -> -inf; -0 0 -> -0; -0 -0, 0 -0, 0 0 -> 0""",
}
"""Of two real numbers."""

COMPLEX = {
    "abs": """infs any, any infs -> inf ?0; zero real -> |y| ?0; real zero -> |x| ?0
        nan finite, finite nan, nan nan -> nan ?0""",
    "acos": """zero 0 -> π/2 -0; zero nan -> π/2 nan; finite inf -> π/2 -inf
        nonzero nan -> nan nan; -inf pos -> π -inf; inf pos -> 0 -inf; -inf inf -> 3π/4 -inf
        inf inf -> π/4 -inf; infs nan -> nan ?inf; nan finite -> nan nan; nan inf -> nan -inf
        nan nan -> nan nan""",
    "acosh": """zero 0 -> 0 π/2; finite inf -> inf π/2; nonzero nan -> nan nan
        0 nan -> nan ?π/2; -inf pos -> inf π; inf pos -> inf 0; -inf inf -> inf 3π/4
        inf inf -> inf π/4; infs nan -> inf nan; nan finite -> nan nan; nan inf -> inf nan
        nan nan -> nan nan""",
    "asinh": """0 0 -> 0 0; pos inf -> inf π/2; finite nan -> nan nan; inf pos -> inf 0
        inf inf -> inf π/4; nan 0 -> nan 0; nan nonzero -> nan nan; nan inf -> ?inf nan
        nan nan -> nan nan""",
    "atanh": """0 0 -> 0 0; 0 nan -> 0 nan; 1 0 -> inf 0; pos inf -> 0 π/2
        nonzero nan -> nan nan; inf pos, inf inf -> 0 π/2; inf nan -> 0 nan
        nan finite -> nan nan; nan inf -> ?0 π/2; nan nan -> nan nan""",
    "cosh": """0 0 -> 1 0; 0 inf, 0 nan -> nan ?0; nonzero inf, nonzero nan -> nan nan
        inf 0 -> inf 0; inf nonzero -> inf*cos inf*sin; inf inf -> ?inf nan; inf nan -> inf nan
        nan zero -> nan ?0; nan nonzero, nan nan -> nan nan""",
    "exp": """zero 0 -> 1 0; finite inf, finite nan -> nan nan; inf 0 -> inf 0
        -inf finite -> 0*cos 0*sin; inf nonzero -> inf*cos inf*sin; -inf inf, -inf nan -> ?0 ?0
        inf inf, inf nan -> ?inf nan; nan 0 -> nan 0; nan nonzero, nan infs -> nan nan
        nan nan -> nan nan""",
    "expm1": """0 0 -> 0 0; finite inf, finite nan -> nan nan; inf 0 -> inf 0
        -inf finite -> -1 0*sin; inf nonzero -> inf*cos inf*sin; -inf inf, -inf nan -> -1 ?0
        inf inf, inf nan -> ?inf nan; nan 0 -> nan 0; nan nonzero, nan infs -> nan nan
        nan nan -> nan nan""",
    "log": """-0 0 -> -inf π; 0 0 -> -inf 0; finite inf -> inf π/2; finite nan -> nan nan
        -inf pos -> inf π; inf pos -> inf 0; -inf inf -> inf 3π/4; inf inf -> inf π/4
        infs nan, nan inf -> inf nan; nan finite, nan nan -> nan nan""",
    "log1p": """-1 0 -> -inf 0; finite inf -> inf π/2; finite nan -> nan nan
        -inf pos -> inf π; inf pos -> inf 0; -inf inf -> inf 3π/4; inf inf -> inf π/4
        infs nan, nan inf -> inf nan; nan finite, nan nan -> nan nan""",
    "sign": "zero 0 -> ?0 ?0; nan finite, finite nan, nan nan -> nan nan",
    "sinh": """0 0 -> 0 0; 0 inf, 0 nan -> ?0 nan; pos inf, pos nan -> nan nan; inf 0 -> inf 0
        inf pos -> inf*cos inf*sin; inf inf, inf nan -> ?inf nan; nan 0 -> nan 0
        nan nonzero, nan nan -> nan nan""",
    "sqrt": """zero 0 -> 0 0; any inf -> inf inf; finite nan -> nan nan; -inf pos -> 0 inf
        inf pos -> inf 0; -inf nan -> nan ?inf; inf nan -> inf nan
        nan finite, nan nan -> nan nan""",
    "tanh": """0 0 -> 0 0; nonzero inf, nonzero nan -> nan nan; 0 inf, 0 nan -> 0 nan
        inf pos -> 1 0*sin2; inf inf, inf nan -> 1 ?0; nan 0 -> nan 0
        nan nonzero, nan infs, nan nan -> nan nan""",
}
"""Of one complex number a + ib, where b is not below 0, or NaN: f(conj z) = conj f(z)."""

ODD = ("asinh", "atanh", "sinh", "tanh")
"""Complex functions with f(-z) = -f(z); the cases above are those of a positive real part."""

BY_ANOTHER = {"asin": "asinh", "atan": "atanh", "cos": "cosh", "sin": "sinh", "tan": "tanh"}
"""Functions with the cases of f(iz), which is turned back by -i unless f is cosh."""

NUMPY_DIFFERS = {
    # NumPy computes exp(a) * sin(b) and the like without a look at infinities, so
    # that the limits become NaN. Those of exp itself are the standard's.
    "expm1": "inf 0, inf inf, inf nan, -inf inf, -inf nan, nan 0",
}
"""Cases of complex functions where ours is the standard's value and NumPy's is not."""
