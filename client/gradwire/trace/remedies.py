"""What to write instead of calls of NumPy and SciPy that don't dispatch on traced arrays.

They convert their arguments to arrays themselves.
"""

from __future__ import annotations

import numpy as np

from gradwire.opset import OPS
from gradwire.tensors import Dtype
from gradwire.trace.lines import library_function

_NO_VALUES = "a traced array has no values yet"
_EXPM = "gw.ops.linalg.expm"
_DISTANCE = "np.linalg.norm(x[:, None] - y, axis=-1)"
_TRIDIAGONAL = "gw.ops.linalg.tridiagonal_solve, or gw.ops.linalg.solve"

_INSTEAD = {
    "numpy.full": "value * np.ones(shape)",
    "numpy.pad": "gw.ops.pad(x, value, pad_width=...)",
    "numpy.take": "gw.ops.take(table, i, axis=0)",
    "scipy.fft.fft2": "np.fft.fft2",
    "scipy.fft.hfft": "np.fft.hfft",
    "scipy.fft.ifft2": "np.fft.ifft2",
    "scipy.fft.ihfft": "np.fft.ihfft",
    "scipy.fft.irfft2": "np.fft.irfft2",
    "scipy.fft.rfft2": "np.fft.rfft2",
    "scipy.integrate.cumulative_trapezoid": "np.cumsum((y[1:] + y[:-1]) / 2 * np.diff(x))",
    "scipy.integrate.odeint": "gw.scan over the steps of a method",
    "scipy.integrate.quad": "np.sum(weights * f(points)), with points of Gauss's",
    "scipy.integrate.simpson": "np.sum with Simpson's weights",
    "scipy.integrate.solve_ivp": "gw.scan over the steps of a method",
    "scipy.integrate.trapezoid": "np.trapezoid",
    "scipy.linalg.cho_factor": "gw.ops.linalg.cholesky",
    "scipy.linalg.circulant": "gw.ops.linalg.toeplitz(c, np.roll(c[::-1], 1))",
    "scipy.linalg.coshm": f"({_EXPM}(a) + {_EXPM}(-a)) / 2",
    "scipy.linalg.cosm": f"np.real({_EXPM}(1j * a))",
    "scipy.linalg.eigh_tridiagonal": "gw.ops.linalg.eigh",
    "scipy.linalg.eigvalsh_tridiagonal": "gw.ops.linalg.eigvalsh",
    "scipy.linalg.expm_frechet": f"gw.jvp({_EXPM}, (a,), (e,))",
    "scipy.linalg.fractional_matrix_power": f"{_EXPM}(p * gw.ops.linalg.logm(a))",
    "scipy.linalg.lu_factor": "gw.ops.linalg.lu",
    "scipy.linalg.lu_solve": "gw.ops.linalg.solve",
    "scipy.linalg.matmul_toeplitz": "gw.ops.linalg.toeplitz(c, r) @ x",
    "scipy.linalg.norm": "np.linalg.norm",
    "scipy.linalg.null_space": "gw.ops.linalg.svd",
    "scipy.linalg.orth": "gw.ops.linalg.svd",
    "scipy.linalg.orthogonal_procrustes": "gw.ops.linalg.svd",
    "scipy.linalg.pinvh": "gw.ops.linalg.pinv",
    "scipy.linalg.polar": "gw.ops.linalg.svd",
    "scipy.linalg.sinhm": f"({_EXPM}(a) - {_EXPM}(-a)) / 2",
    "scipy.linalg.sinm": f"np.imag({_EXPM}(1j * a))",
    "scipy.linalg.solve_banded": _TRIDIAGONAL,
    "scipy.linalg.solve_circulant": "np.fft.ifft(np.fft.fft(b) / np.fft.fft(c))",
    "scipy.linalg.solve_lyapunov": "gw.ops.linalg.solve_continuous_lyapunov",
    "scipy.linalg.solve_toeplitz": "gw.ops.linalg.solve(gw.ops.linalg.toeplitz(c, r), b)",
    "scipy.linalg.solveh_banded": _TRIDIAGONAL,
    "scipy.linalg.subspace_angles": "gw.ops.linalg.svdvals",
    "scipy.signal.convolve": "np.convolve, or gw.ops.nn.conv",
    "scipy.signal.convolve2d": "gw.ops.nn.conv",
    "scipy.signal.correlate": "np.correlate, or gw.ops.nn.conv",
    "scipy.signal.correlate2d": "gw.ops.nn.conv",
    "scipy.signal.fftconvolve": "np.convolve, or gw.ops.nn.conv",
    "scipy.signal.lfilter": "gw.scan",
    "scipy.signal.oaconvolve": "np.convolve, or gw.ops.nn.conv",
    "scipy.spatial.distance.cdist": _DISTANCE,
    "scipy.spatial.distance.pdist": _DISTANCE,
    "scipy.special.log_softmax": "gw.ops.nn.log_softmax",
    "scipy.special.logsumexp": "gw.ops.logsumexp",
    "scipy.special.softmax": "gw.ops.nn.softmax",
}
"""Where it isn't the op of the same name."""


def remedy_for_call() -> str | None:
    """Says what can't be called and what to write instead, if the caller's line is such a call."""
    called = library_function()
    library, _, name = called.partition(".")
    if name in OPS and library == "scipy":
        instead = f"gw.ops.{name}"
    elif called in _INSTEAD:
        instead = _INSTEAD[called]
    elif library == "scipy":
        instead = "it with NumPy's functions or gw.ops; docs/opset.md lists what there is"
    else:
        return None
    shown = called.replace("numpy.", "np.", 1)
    return f"{_NO_VALUES}, so {shown} can't take it; write {instead}"


def remedy_for_conversion(dtype: Dtype) -> str:
    """Says what to write instead of what makes a NumPy array of a traced one.

    Args:
        dtype: The traced array's. A subscript of another array is made one, too.
    """
    called = library_function()
    if called.startswith("numpy."):
        shown = called.replace("numpy.", "np.", 1)
        return (
            f"{_NO_VALUES}, so {shown} can't take it in this place; close over the value, "
            "or write a function of gw.ops"
        )
    others = "np.asarray(x), np.array([x, y]) and functions outside NumPy can't take it"
    stack = "write np.stack([x, y]), or a function of gw.ops"
    if dtype == np.bool_:
        return (
            f"{_NO_VALUES}, so table[mask] can't use it where the table isn't traced; "
            f"write np.where(mask, table, 0). Also, {others}; {stack}"
        )
    if dtype.kind in "iu":
        return (
            f"{_NO_VALUES}, so table[i] can't use it where the table isn't traced; write "
            f"gw.ops.take(table, i, axis=0). Also, {others}; {stack}"
        )
    return f"{_NO_VALUES}, so {others}; {stack}"
