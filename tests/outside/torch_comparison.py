"""Holds one operator in one dtype against PyTorch, and says where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

import gradwire as gw
from gradwire.trees import flatten
from outside.in_process import run_all
from outside.torch_elementwise import ELEMENTWISE
from outside.torch_linalg import LINALG
from outside.torch_losses import LOSSES
from outside.torch_nn import LAYERS
from outside.torch_positions import POSITIONS
from outside.torch_reductions import REDUCTIONS
from outside.torch_samples import Answers, Sample, Theirs, operators, quiet, samples
from outside.torch_shapes import SHAPES
from outside.torch_windows import WINDOWS
from outside.torch_words import NotOfferedError, Pair

WORDS: dict[str, Callable[..., Any] | Pair] = {
    **ELEMENTWISE,
    **REDUCTIONS,
    **SHAPES,
    **POSITIONS,
    **LINALG,
    **WINDOWS,
    **LAYERS,
    **LOSSES,
}

NARROW = ("float32",)
"""What is compared with double precision, and to first order."""

COUNTS = {"float64": 5, "complex128": 3, "float32": 2, "int64": 2}
"""How many samples of an operator are compared in each dtype."""

# Of the largest element: value, first derivatives, second.
TOLERANCES = {
    "float64": (1e-10, 1e-8, 1e-6),
    "complex128": (1e-10, 1e-8, 1e-6),
    "float32": (1e-4, 1e-3, 1e-2),
    "int64": (1e-10, 1e-10, 1e-10),
}
FINITE_DIFFERENCE = 1e-5

OFFERED_ORDER = {"linalg.eig": 0, "linalg.eigvals": 1, "nextafter": 0}
"""The order to which the opset differentiates, where that isn't any: it refuses the next."""

FIRST = ("jvp", "vjp")
SECOND = ("forward over reverse", "reverse over reverse")


def _hermitian(f: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
    return f(x + np.conj(x.mT), *args, **kwargs)


def _triangular(
    f: Callable[..., Any], *args: Any, upper: bool = False, idx: int = 0, **kwargs: Any
) -> Any:
    part = np.triu(args[idx]) if upper else np.tril(args[idx])
    return f(*args[:idx], part, *args[idx + 1 :], upper, **kwargs)


def _unit_triangular(
    f: Callable[..., Any], *args: Any, upper: bool = False, idx: int = 0, **kwargs: Any
) -> Any:
    x = args[idx]
    part = (np.triu(x, 1) if upper else np.tril(x, -1)) + np.eye(x.shape[-1])
    return f(*args[:idx], part, *args[idx + 1 :], upper, **kwargs)


def _plain(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return f(*args, **kwargs)


_WRAPPERS = {
    "gradcheck_wrapper_hermitian_input": _hermitian,
    "gradcheck_wrapper_triangular_input": _triangular,
    "gradcheck_wrapper_triangular_input_real_positive_diagonal": _unit_triangular,
}
"""What OpInfo makes of an argument first, so that it is symmetric wherever it moves to."""


def words_for(name: str) -> Callable[..., Any] | Pair | None:
    """Returns how an operator is written, if it is."""
    return WORDS.get(name, WORDS.get(name.split("|")[0]))


@dataclass
class Report:
    """What came of an operator in a dtype.

    Attributes:
        compared: The number of comparisons.
        left_out: What samples need that gradwire has no word for.
        differences: The numbers of the samples that differ, for each quantity.
        notes: What was found there.
    """

    compared: int = 0
    left_out: list[str] = field(default_factory=list)
    differences: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def differs(self, what: str, sample: int, note: str) -> None:
        """Notes a difference."""
        self.differences.setdefault(what, []).append(sample)
        self.notes.append(f"{what}, sample {sample}: {note}")


def compare(name: str, dtype: str) -> Report:
    """Compares the samples of an operator."""
    report = Report()
    words = words_for(name)
    assert words is not None
    ours, observe = (words.ours, words.theirs) if isinstance(words, Pair) else (words, None)
    with quiet():
        chosen = samples(operators()[name], getattr(torch, dtype), COUNTS[dtype])
        wanted = [
            Theirs(sample, observe).answers(np.random.default_rng(number))
            for number, sample in enumerate(chosen)
        ]
    orders = [_order(name, want, dtype) for want in wanted]
    calls = [_program(ours, s, w, dtype, o) for s, w, o in zip(chosen, wanted, orders, strict=True)]
    try:
        answers = dict(enumerate(run_all(calls)))
    except Exception:  # noqa: BLE001  # one by one, to see which it was
        answers = dict(_one_by_one(calls, report))
    for number, got in answers.items():
        _compare(report, number, wanted[number], got, dtype, orders[number])
    return report


def _one_by_one(calls: Sequence[Any], report: Report) -> Iterator[tuple[int, list[Any]]]:
    for number, call in enumerate(calls):
        try:
            yield number, run_all([call])[0]
        except NotOfferedError as error:
            report.left_out.append(str(error))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is reported
            report.differs("refused", number, f"{type(error).__name__}: {str(error)[:300]}")


def _order(name: str, want: Answers, dtype: str) -> int:
    """The order of the derivatives that are compared."""
    if want.vjp is None:
        return 0
    return min(1 if dtype in NARROW else 2, OFFERED_ORDER.get(name, 2))


def _program(
    ours: Callable[..., Any], sample: Sample, want: Answers, dtype: str, order: int
) -> tuple[Callable[..., Any], list[Any]]:
    """Returns the function of (point, tangents, cotangents) and its arguments."""
    point = sample.arrays()
    narrow = {"f": np.float32, "c": np.complex64} if dtype in NARROW else {}

    def fit(x: Any) -> Any:
        return np.asarray(x, narrow.get(x.dtype.kind, x.dtype))

    tangents = [np.asarray(t, x.dtype) for t, x in zip(want.tangents, point, strict=True)]
    cotangents = [fit(u) for u in want.cotangents]

    wrapper = _WRAPPERS.get(getattr(sample.info.gradcheck_wrapper, "__name__", ""), _plain)
    if sample.info.name == "triangular_solve":
        wrapper = partial(_triangular, idx=1)

    def f(*moving: Any) -> tuple[Any, ...]:
        return tuple(flatten(sample.call(partial(wrapper, ours), moving, ours=True))[0])

    def inexact(*moving: Any) -> tuple[Any, ...]:
        outputs = [y for y in f(*moving) if y.dtype.kind in "fc"]
        # NumPy's `cov` of float32 is float64.
        return tuple(y.astype(u.dtype) for y, u in zip(outputs, cotangents, strict=True))

    def derivatives(moving: Any, tangents: Any, cotangents: Any) -> Any:
        pulled = partial(_pulled, inexact, cotangents)
        first = [f(*moving), gw.jvp(inexact, moving, tangents)[1], pulled(*moving)]
        if order < 2:
            return first
        return [*first, gw.jvp(pulled, moving, tangents)[1], gw.vjp(pulled, moving, tangents)[1]]

    if not order:
        return (lambda moving: [f(*moving)]), [tuple(point)]
    return derivatives, [tuple(point), tuple(tangents), tuple(cotangents)]


def _pulled(f: Callable[..., Any], cotangents: Any, *moving: Any) -> Any:
    return gw.vjp(f, moving, cotangents)[1]


def _compare(
    report: Report, number: int, want: Answers, got: list[Any], dtype: str, order: int
) -> None:
    value, first, second = TOLERANCES[dtype]
    if want.loose:
        second = max(second, FINITE_DIFFERENCE)
    parts: list[tuple[str, list[Any] | None, float, int]] = [
        ("value", want.values, value, len(want.values))
    ]
    if order:
        assert want.vjp is not None
        parts += [
            ("jvp", want.jvp, first, len(want.cotangents)),
            ("vjp", want.vjp, first, len(want.vjp)),
        ]
        if order > 1:
            parts += [(what, want.second, second, len(want.vjp)) for what in SECOND]
    if len(got) != sum(size for *_, size in parts):
        report.differs("value", number, f"{len(got)} results in all")
        return
    for what, theirs, tolerance, size in parts:
        ours, got = got[:size], got[size:]
        if theirs is None:
            continue
        report.compared += 1
        note = _difference(ours, theirs, tolerance)
        if note:
            report.differs(what, number, note)


def _difference(ours: Sequence[Any], theirs: Sequence[Any], tolerance: float) -> str:
    """Says how arrays differ by more than a tolerance of the largest element; empty if not."""
    for place, (a, b) in enumerate(zip(map(np.asarray, ours), theirs, strict=True)):
        if a.shape != b.shape:
            return f"{place}: shape {a.shape}, theirs {b.shape}"
        if a.dtype.kind != b.dtype.kind and "c" not in (a.dtype.kind, b.dtype.kind):
            return f"{place}: dtype {a.dtype}, theirs {b.dtype}"
        finite = np.abs(b[np.isfinite(b)])
        scale = max(float(finite.max(initial=0)), 1e-3 if b.dtype.kind in "fc" else 0)
        try:
            np.testing.assert_allclose(a, b, tolerance, tolerance * scale)
        except AssertionError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return f"{place} of {b.shape}: " + " | ".join(lines[1:9])
    return ""
