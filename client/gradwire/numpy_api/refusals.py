"""NumPy functions that can't be traced, and what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from gradwire.numpy_api.registry import implements
from gradwire.opset import BY_UFUNC_METHOD, OPS
from gradwire.trace.traced import UFUNC_METHODS, UFUNCS, refuse

_SHAPE = "its result has no fixed shape"
_IN_PLACE = "a traced array can't be changed; write x = gw.ops.index_set(x, np.s_[...], y)"
_TEXT = "a traced array has no values to print; return it and print the result"

_REFUSED: dict[str, str] = {
    "apply_along_axis": "write gw.vmap(f)(x)",
    "apply_over_axes": "write a reduction with a tuple of axes",
    "argpartition": "write np.argsort(x)",
    "argwhere": f"{_SHAPE}; write np.where(condition, a, b)",
    "array2string": _TEXT,
    "array_repr": _TEXT,
    "array_str": _TEXT,
    "bincount": f"{_SHAPE}; write gw.ops.index_add(np.zeros(n), x, 1.0)",
    "choose": "write np.select, or np.take_along_axis",
    "compress": f"{_SHAPE}; write np.where(condition, x, 0)",
    "copyto": _IN_PLACE,
    "einsum_path": "np.einsum chooses its own order",
    "extract": f"{_SHAPE}; write np.where(condition, x, 0)",
    "fill_diagonal": _IN_PLACE,
    "flatnonzero": f"{_SHAPE}; write np.where(condition, a, b)",
    "frombuffer": "a traced array has no bytes; write gw.ops.bitcast",
    "geomspace": "write np.exp(np.linspace(np.log(a), np.log(b), n))",
    "histogram": "write np.searchsorted(edges, x) and gw.ops.index_add",
    "histogram2d": "write np.searchsorted(edges, x) and gw.ops.index_add",
    "histogramdd": "write np.searchsorted(edges, x) and gw.ops.index_add",
    "insert": "write np.concatenate",
    "intersect1d": f"{_SHAPE}; write np.any(x[:, None] == y, axis=1)",
    "isin": "write np.any(x[..., None] == y, axis=-1)",
    "lexsort": "write np.argsort of one key after the other, the last one first",
    "linalg.cond": "write s = np.linalg.svdvals(x) and s[0] / s[-1]",
    "linalg.matrix_rank": "write np.sum(np.linalg.svdvals(x) > tol)",
    "linalg.tensorinv": "write np.linalg.inv of the reshaped array",
    "linalg.tensorsolve": "write np.linalg.solve of reshaped arrays",
    "nanargmax": "write np.argmax(np.where(np.isnan(x), -np.inf, x))",
    "nanargmin": "write np.argmin(np.where(np.isnan(x), np.inf, x))",
    "nonzero": f"{_SHAPE}; write np.where(condition, a, b)",
    "partition": "write np.sort(x)",
    "piecewise": "write np.select, or np.where",
    "place": _IN_PLACE,
    "polyfit": "write np.linalg.lstsq(np.vander(x, n), y)[0]",
    "put": _IN_PLACE,
    "put_along_axis": _IN_PLACE,
    "putmask": _IN_PLACE,
    "resize": "write np.pad, np.tile, or a slice",
    "roots": "write np.linalg.eigvals of the companion matrix",
    "save": "return the array and save the result",
    "savetxt": "return the array and save the result",
    "savez_compressed": "return the array and save the result",
    "savez": "return the array and save the result",
    "setdiff1d": f"{_SHAPE}; write np.any(x[:, None] == y, axis=1)",
    "setxor1d": f"{_SHAPE}; write np.any(x[:, None] == y, axis=1)",
    "shares_memory": "a traced array has no memory",
    "may_share_memory": "a traced array has no memory",
    "sort_complex": "sort the real parts, then take by np.argsort",
    "trim_zeros": f"{_SHAPE}; write np.where(condition, x, 0)",
    "union1d": f"{_SHAPE}; write np.concatenate",
    "unique": f"{_SHAPE}; write np.sort(x)",
    "unique_all": f"{_SHAPE}; write np.sort(x)",
    "unique_counts": f"{_SHAPE}; write np.sort(x)",
    "unique_inverse": f"{_SHAPE}; write np.sort(x)",
    "unique_values": f"{_SHAPE}; write np.sort(x)",
}


def _refusal(name: str, reason: str) -> Callable[..., NoReturn]:
    def refused(*args: Any, **kwargs: Any) -> NoReturn:
        refuse(f"np.{name} can't be traced: {reason}")

    return refused


def _ufunc_refusal(name: str, method: str, instead: str) -> Callable[..., NoReturn]:
    def refused(*args: Any, **kwargs: Any) -> NoReturn:
        refuse(f"np.{name}.{method} can't be traced; {instead}")

    return refused


for _name, _reason in _REFUSED.items():
    implements(_name)(_refusal(_name, _reason))
for _ufunc in UFUNCS:
    _update = BY_UFUNC_METHOD.get(f"{_ufunc.__name__}.at", OPS["index_set"]).name
    for _method, _instead in (
        ("at", f"write x = gw.ops.{_update}(x, np.s_[...], y)"),
        ("reduceat", "write gw.ops.index_add, or one reduction for each part"),
    ):
        UFUNC_METHODS[_ufunc, _method] = _ufunc_refusal(_ufunc.__name__, _method, _instead)
