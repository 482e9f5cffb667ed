"""The ops without functions, on dual numbers: for ``interpreter.py``. NumPy and SciPy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from conformance import dual_numbers as d
from conformance import index_functions as index
from conformance.dual_numbers import Number, linear, multilinear, plain


def _discrete(f: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function of plain values; its derivative is 0."""
    return lambda *xs, **attrs: f(*map(plain, xs), **attrs)


def _moves(f: Callable[..., Any]) -> Callable[..., Number]:
    """Makes a function that is linear in its one operand, from one with attributes."""
    return lambda x, **attrs: linear(lambda a: f(a, **attrs), x)


def _products(f: Callable[..., Any]) -> Callable[..., Number]:
    """Makes a function that is linear in each operand, from one with attributes."""
    return lambda *xs, **attrs: multilinear(lambda *a: f(*a, **attrs), *xs)


# --- shapes --------------------------------------------------------------------------


def _diag(a: Any, k: int = 0) -> Any:
    size = a.shape[-1] + abs(k)
    out = np.zeros((*a.shape[:-1], size, size))
    rows = np.arange(a.shape[-1]) + max(-k, 0)
    out[..., rows, rows + k] = a
    return out


def _pad(x: Number, *value: Number, pad_width: Sequence[int], mode: str = "constant") -> Number:
    pairs = list(zip(pad_width[::2], pad_width[1::2], strict=True))
    if mode != "constant":
        return linear(lambda a: np.pad(a, pairs, mode=mode), x)
    inside = np.pad(np.ones(x.shape, bool), pairs)
    fill = value[0] if value else np.zeros(())
    return linear(lambda a, v: np.where(inside, np.pad(a, pairs), v), x, fill)


def _split(x: Number, axis: int, indices: Sequence[int]) -> list[Number]:
    bounds = (0, *indices, x.shape[axis])
    return [
        linear(lambda a, r=range(low, high): np.take(a, np.array(r, int), axis), x)
        for low, high in pairwise(bounds)
    ]


def _unstack(x: Number, axis: int) -> list[Number]:
    return [linear(lambda a, i=i: np.take(a, i, axis), x) for i in range(x.shape[axis])]


def _joined(f: Callable[..., Any]) -> Callable[..., Number]:
    return lambda *xs, axis: linear(lambda *a: f(a, axis), *xs)


def _linspace(start: Number, stop: Number, num: int, endpoint: bool = True) -> Number:
    return linear(lambda a, b: np.linspace(a, b, num, endpoint=endpoint), start, stop)


# --- the rest ------------------------------------------------------------------------


def _cross(a: Any, b: Any, axis: int = -1) -> Any:
    return np.cross(a, b, axis=axis)


def _tensordot(a: Any, b: Any, x_axes: Sequence[int], y_axes: Sequence[int]) -> Any:
    return np.tensordot(a, b, (x_axes, y_axes))


def _slogdet(x: Number) -> tuple[Number, Number]:
    det = d.determinant(x)
    return np.sign(plain(det)), d.log(d.absolute(det))


def _toeplitz(c: Any, r: Any) -> Any:
    rows, columns = np.arange(len(c))[:, None], np.arange(len(r))
    apart = rows - columns
    return np.where(apart >= 0, c[np.maximum(apart, 0)], r[np.maximum(-apart, 0)])


def _matrix_power(x: Number, n: int) -> Number:
    base = d.inverse(x) if n < 0 else x
    out: Number = np.eye(x.shape[-1]) + 0.0 * base
    for _ in range(abs(n)):
        out = out @ base
    return out


def _softmax(x: Number, axis: tuple[int, ...]) -> Number:
    return d.exp(x - d.logsumexp(x, axis, keepdims=True))


def _elu(x: Number, alpha: float = 1.0) -> Number:
    return d.where(plain(x) > 0, x, alpha * d.expm1(x))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _gelu(x: Number, approximate: bool = False) -> Number:
    if not approximate:
        return x * d.ndtr(x)
    return 0.5 * x * (1.0 + d.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * (x * x * x))))


def _attention(
    query: Number, key: Number, value: Number, scale: float, is_causal: bool = False
) -> Number:
    scores = scale * multilinear(lambda q, k: np.einsum("qhd,khd->hqk", q, k), query, key)
    if is_causal:
        allowed = np.tri(*scores.shape[-2:], dtype=bool)
        scores = d.where(allowed, scores, np.full((), -1e30))
    weights = _softmax(scores, (-1,))
    return multilinear(lambda w, v: np.einsum("hqk,khd->qhd", w, v), weights, value)


def _clip(x: Number, low: Number, high: Number) -> Number:
    return d.minimum(d.maximum(x, low), high)


def _vector_norm(
    x: Number, axis: tuple[int, ...], ord: float = 2.0, keepdims: bool = False
) -> Number:
    assert ord == 2.0
    return d.sqrt(d.total(x * x, axis, keepdims))


def _quotient(x: Number, y: Number, rounded: Callable[..., Any]) -> Number:
    """Returns x minus a whole number of times y."""
    return x - rounded(plain(x) / plain(y)) * y


def _copysign(x: Number, y: Number) -> Number:
    return x * np.where(np.signbit(plain(x)) == np.signbit(plain(y)), 1.0, -1.0)


def _reduction(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis, keepdims=False: f(plain(x), axis=axis, keepdims=keepdims)


APPLY: dict[str, Callable[..., Any]] = {
    # elementwise
    "abs": d.absolute,
    "acos": d.acos,
    "acosh": d.acosh,
    "add": d.add,
    "asin": d.asin,
    "asinh": d.asinh,
    "astype": _discrete(lambda x, dtype: x.astype(dtype)),
    "atan": d.atan,
    "atan2": d.atan2,
    "atanh": d.atanh,
    "cbrt": d.cbrt,
    "ceil": _discrete(np.ceil),
    "clip": _clip,
    "copysign": _copysign,
    "cos": d.cos,
    "cosh": d.cosh,
    "divide": lambda x, y: x / y,
    "equal": _discrete(np.equal),
    "exp": d.exp,
    "exp2": lambda x: d.exp(x * np.log(2.0)),
    "expm1": d.expm1,
    "floor": _discrete(np.floor),
    "floor_divide": _discrete(np.floor_divide),
    "fmod": lambda x, y: _quotient(x, y, np.trunc),
    "greater": _discrete(np.greater),
    "greater_equal": _discrete(np.greater_equal),
    "hypot": d.hypot,
    "integer_pow": lambda x, exponent: d.integer_pow(x, exponent),
    "less": _discrete(np.less),
    "less_equal": _discrete(np.less_equal),
    "log": d.log,
    "log10": lambda x: d.log(x) * (1 / np.log(10.0)),
    "log1p": d.log1p,
    "log2": lambda x: d.log(x) * (1 / np.log(2.0)),
    "logaddexp": lambda x, y: x + d.softplus(y - x),
    "logical_and": _discrete(np.logical_and),
    "logical_not": _discrete(np.logical_not),
    "logical_or": _discrete(np.logical_or),
    "maximum": d.maximum,
    "minimum": d.minimum,
    "multiply": d.multiply,
    "negative": _moves(np.negative),
    "not_equal": _discrete(np.not_equal),
    "pow": d.pow_,
    "reciprocal": d.reciprocal,
    "remainder": lambda x, y: _quotient(x, y, np.floor),
    "round": _discrete(np.round),
    "rsqrt": d.rsqrt,
    "sign": _discrete(np.sign),
    "sin": d.sin,
    "sinh": d.sinh,
    "sqrt": d.sqrt,
    "square": lambda x: x * x,
    "subtract": lambda x, y: linear(np.subtract, x, y),
    "tan": d.tan,
    "tanh": d.tanh,
    "trunc": _discrete(np.trunc),
    "where": d.where,
    # reduction
    "all": _reduction(np.all),
    "any": _reduction(np.any),
    "argmax": _reduction(np.argmax),
    "argmin": _reduction(np.argmin),
    "count_nonzero": _reduction(np.count_nonzero),
    "cumulative_logsumexp": lambda x, axis: d.running(APPLY["logaddexp"], x, axis),
    "cumulative_max": lambda x, axis: d.running(d.maximum, x, axis),
    "cumulative_min": lambda x, axis: d.running(d.minimum, x, axis),
    "cumulative_prod": lambda x, axis: d.running(d.multiply, x, axis),
    "cumulative_sum": _moves(lambda a, axis: np.cumsum(a, axis)),
    "logsumexp": d.logsumexp,
    "max": lambda x, axis, keepdims=False: d.extreme(x, axis, keepdims, np.max),
    "mean": d.mean,
    "min": lambda x, axis, keepdims=False: d.extreme(x, axis, keepdims, np.min),
    "prod": lambda x, axis, keepdims=False: d.product(x, axis, keepdims),
    "std": lambda x, axis, keepdims=False, correction=0.0: d.sqrt(
        d.variance(x, axis, keepdims, correction)
    ),
    "sum": d.total,
    "var": lambda x, axis, keepdims=False, correction=0.0: d.variance(
        x, axis, keepdims, correction
    ),
    # creation
    "eye": lambda dtype, n_rows, n_cols, k=0: np.eye(n_rows, n_cols, k, dtype),
    "full": _moves(lambda a, shape: np.full(shape, a)),
    "linspace": _linspace,
    # shape
    "broadcast_to": _moves(lambda a, shape: np.broadcast_to(a, shape)),
    "concat": _joined(np.concatenate),
    "diag": _moves(_diag),
    "expand_dims": _moves(lambda a, axis: np.expand_dims(a, axis)),
    "flip": _moves(lambda a, axis: np.flip(a, axis)),
    "matrix_transpose": d.transpose,
    "pad": _pad,
    "permute_dims": _moves(lambda a, axes: np.transpose(a, axes)),
    "repeat": _moves(lambda a, axis, repeats: np.repeat(a, repeats, axis)),
    "reshape": _moves(lambda a, shape: np.reshape(a, shape)),
    "roll": _moves(lambda a, shift, axis: np.roll(a, shift, axis)),
    "split": _split,
    "squeeze": _moves(lambda a, axis: np.squeeze(a, axis)),
    "stack": _joined(np.stack),
    "tile": _moves(lambda a, repetitions: np.tile(a, repetitions)),
    "tril": _moves(lambda a, k=0: np.tril(a, k)),
    "triu": _moves(lambda a, k=0: np.triu(a, k)),
    "unstack": _unstack,
    # index
    "argsort": lambda x, **attrs: index.order_of(x, **attrs).astype(np.int64),
    "dynamic_slice": index.dynamic_slice,
    "dynamic_update_slice": index.dynamic_update_slice,
    "getitem": index.getitem,
    "index_add": index.index_add,
    "index_max": index.index_update(d.maximum),
    "index_min": index.index_update(d.minimum),
    "index_multiply": index.index_update(d.multiply),
    "index_set": index.index_set,
    "interp": index.interp,
    "searchsorted": _discrete(lambda x, v, side="left": np.searchsorted(x, v, side)),
    "sort": index.sort,
    "take": index.take,
    "take_along_axis": index.take_along_axis,
    "top_k": index.top_k,
    # linear algebra
    "cross": _products(_cross),
    "einsum": _products(lambda *a, subscripts: np.einsum(subscripts, *a)),
    "kron": _products(np.kron),
    "matmul": _products(np.matmul),
    "outer": _products(np.outer),
    "tensordot": _products(_tensordot),
    "vecdot": _products(lambda a, b, axis=-1: np.vecdot(a, b, axis=axis)),
    "linalg.cholesky": lambda x, upper=False: (
        d.transpose(d.cholesky(d.transpose(x))) if upper else d.cholesky(x)
    ),
    "linalg.det": d.determinant,
    "linalg.diagonal": _moves(lambda a, offset=0: np.diagonal(a, offset, -2, -1)),
    "linalg.expm": d.expm,
    "linalg.inv": d.inverse,
    "linalg.matrix_power": _matrix_power,
    "linalg.slogdet": _slogdet,
    "linalg.solve": d.solve,
    "linalg.solve_triangular": lambda a, b, lower=False: d.solve(
        linear(np.tril if lower else np.triu, a), b
    ),
    "linalg.toeplitz": lambda c, r: linear(_toeplitz, c, r),
    "linalg.trace": _moves(lambda a, offset=0: np.trace(a, offset, -2, -1)),
    "linalg.vector_norm": _vector_norm,
    # special
    "special.betaln": lambda a, b: d.gammaln(a) + d.gammaln(b) - d.gammaln(a + b),
    "special.digamma": d.digamma,
    "special.entr": lambda x: -(x * d.log(x)),
    "special.erf": d.erf,
    "special.erfc": lambda x: 1.0 - d.erf(x),
    "special.erfinv": d.erfinv,
    "special.expit": d.expit,
    "special.gammainc": lambda a, x: d.gammainc(plain(a), x),
    "special.gammaln": d.gammaln,
    "special.i0": d.i0,
    "special.i0e": lambda x: d.exp(-d.absolute(x)) * d.i0(x),
    "special.i1": d.i1,
    "special.log_ndtr": d.log_ndtr,
    "special.logit": lambda x: d.log(x / (1.0 - x)),
    "special.ndtr": d.ndtr,
    "special.ndtri": d.ndtri,
    "special.polygamma": lambda x, n: d.polygamma(n, x),
    "special.xlog1py": lambda x, y: x * d.log1p(y),
    "special.xlogy": lambda x, y: x * d.log(y),
    # nn
    "nn.dot_product_attention": _attention,
    "nn.elu": _elu,
    "nn.gelu": _gelu,
    "nn.leaky_relu": lambda x, negative_slope=0.01: d.where(plain(x) >= 0, x, negative_slope * x),
    "nn.log_sigmoid": lambda x: -d.softplus(-x),
    "nn.log_softmax": lambda x, axis: x - d.logsumexp(x, axis, keepdims=True),
    "nn.mish": lambda x: x * d.tanh(d.softplus(x)),
    "nn.relu": lambda x: x * (plain(x) > 0),
    "nn.selu": lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    "nn.silu": lambda x: x * d.expit(x),
    "nn.softmax": _softmax,
    "nn.softplus": d.softplus,
}
"""The ops without functions, by name: called with numbers, and the node's attributes."""
