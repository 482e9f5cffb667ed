"""PyTorch's samples of an operator, and what PyTorch says of value and derivatives there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo
from torch.utils import _pytree as pytree

CANDIDATES = 60
"""The most samples of an operator that are looked at."""

ONCE = frozenset({"nn.functional.scaled_dot_product_attention"})
"""Operators whose second derivative PyTorch refuses on the CPU, against what OpInfo says."""

MAX_ELEMENTS = 2_000
"""The most elements of a sample's arrays, unless the first has more."""


def operators() -> dict[str, OpInfo]:
    """Returns OpInfo's operators by name, with the variant behind a bar."""
    return {
        info.name + (f"|{info.variant_test_name}" if info.variant_test_name else ""): info
        for info in op_db
    }


@dataclass(frozen=True)
class Sample:
    """A call of an operator.

    Attributes:
        info: The operator.
        leaves: The leaves of its arguments: tensors, numbers and the like.
        spec: The shape of ``(input, args, kwargs)``.
        moving: The positions of the tensors that are differentiated, or if
            there are none, of those that have the operator's dtype.
        differentiable: Whether there are some.
    """

    info: OpInfo
    leaves: tuple[Any, ...]
    spec: Any
    moving: tuple[int, ...]
    differentiable: bool

    def tensors(self) -> list[torch.Tensor]:
        """Returns the tensors that move, in double precision."""
        return [_widest(self.leaves[place].detach()) for place in self.moving]

    def arrays(self) -> list[Any]:
        """Returns the arrays that move."""
        return [_array(self.leaves[place]) for place in self.moving]

    def call(self, function: Callable[..., Any], moving: Sequence[Any], ours: bool) -> Any:
        """Calls PyTorch's function or ours, with these in place of what moves."""
        leaves = list(self.leaves)
        for place, leaf in enumerate(leaves):
            if isinstance(leaf, torch.Tensor):
                leaves[place] = _array(leaf) if ours else _widest(leaf.detach())
        for place, value in zip(self.moving, moving, strict=True):
            leaves[place] = value
        first, args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return function(first, *args, **kwargs)


def _array(tensor: torch.Tensor) -> Any:
    return tensor.numpy(force=True).copy()


def _widest(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.to(torch.float64) if tensor.is_floating_point() else tensor


def samples(info: OpInfo, dtype: torch.dtype, count: int) -> list[Sample]:
    """Returns samples that differ in shapes or options, spread over all that there are."""
    torch.manual_seed(0)
    inexact = dtype.is_floating_point or dtype.is_complex
    wanted = info.supports_autograd and inexact and dtype in _with_gradients(info)
    found: dict[str, Sample] = {}
    for given in islice(info.sample_inputs("cpu", dtype, requires_grad=wanted), CANDIDATES):
        leaves, spec = pytree.tree_flatten((given.input, given.args, given.kwargs))
        shapes = [tuple(x.shape) for x in leaves if isinstance(x, torch.Tensor)]
        if found and sum(map(np.prod, shapes)) > MAX_ELEMENTS:
            continue
        places = [p for p, x in enumerate(leaves) if isinstance(x, torch.Tensor)]
        moving = [p for p in places if leaves[p].requires_grad]
        others = [p for p in places if leaves[p].dtype == dtype]
        if moving or others:
            sample = Sample(info, tuple(leaves), spec, tuple(moving or others), bool(moving))
            options = [x for x in leaves if not isinstance(x, torch.Tensor)]
            found.setdefault(repr((shapes, options, spec)), sample)
    every = list(found.values())
    picked = np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)
    return [every[place] for place in picked.tolist()]


def _with_gradients(info: OpInfo) -> set[torch.dtype]:
    """float32 has them where float64 has."""
    return info.supported_backward_dtypes("cpu") | {torch.float32}


@dataclass(frozen=True)
class Answers:
    """What PyTorch says, in double precision; None where it has no answer.

    Attributes:
        values: The results.
        tangents: A tangent for each array that moves.
        cotangents: A cotangent for each inexact result.
        jvp: The derivative of each inexact result along the tangents.
        vjp: The product of the cotangents with the Jacobian, for each array.
        second: The derivative of that product along the tangents.
        loose: Whether ``second`` is a finite difference.
    """

    values: list[Any]
    tangents: list[Any]
    cotangents: list[Any]
    jvp: list[Any] | None = None
    vjp: list[Any] | None = None
    second: list[Any] | None = None
    loose: bool = False


class Theirs:
    """A sample in PyTorch. Cotangents pair as in gradwire: bilinear, without a conjugate."""

    def __init__(self, sample: Sample, observe: Callable[[Any], Any] | None) -> None:
        self._sample = sample
        self._observe = observe

    def _run(self, moving: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        # A copy, since some operators write to their operand.
        copies = [x.clone() for x in moving]
        info = self._sample.info
        result = self._sample.call(partial(info.gradcheck_wrapper, info.op), copies, ours=False)
        if self._observe is not None:
            result = self._observe(result)
        return [x if isinstance(x, torch.Tensor) else torch.tensor(x) for x in _flat(result)]

    def _inexact(self, moving: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        outputs = self._run(moving)
        return [y for y in outputs if y.is_floating_point() or y.is_complex()]

    def answers(self, rng: np.random.Generator) -> Answers:
        """Returns what PyTorch says, in a random direction."""
        point = self._sample.tensors()
        values = [_array(y) for y in self._run(point)]
        tangents = [_direction(rng, _array(x)) for x in point]
        inexact = [y for y in values if y.dtype.kind in "fc"]
        cotangents = [_direction(rng, y) for y in inexact]
        if not self._sample.differentiable or not inexact:
            return Answers(values, tangents, cotangents)
        vjp = self._pulled_back(point, cotangents)
        second, loose = self._second(point, tangents, cotangents)
        return Answers(
            values,
            tangents,
            cotangents,
            self._pushed(point, tangents),
            [np.conj(_array(x)) for x in vjp],
            second,
            loose,
        )

    def _pulled_back(
        self, point: Sequence[torch.Tensor], cotangents: Sequence[Any], graph: bool = False
    ) -> list[torch.Tensor]:
        """The gradient in PyTorch's own convention, which conjugates."""
        leaves = [x if graph else x.detach().requires_grad_() for x in point]
        outputs = self._inexact(leaves)
        return _gradient(outputs, leaves, [torch.tensor(np.conj(u)) for u in cotangents], graph)

    def _pushed(self, point: Sequence[torch.Tensor], tangents: Sequence[Any]) -> list[Any] | None:
        if not self._sample.info.supports_forward_ad:
            return None
        with forward_ad.dual_level():
            duals = [
                forward_ad.make_dual(x, torch.tensor(t))
                for x, t in zip(point, tangents, strict=True)
            ]
            pairs = [forward_ad.unpack_dual(y) for y in self._inexact(duals)]
        return [np.zeros(p.primal.shape) if p.tangent is None else _array(p.tangent) for p in pairs]

    def _second(
        self, point: Sequence[torch.Tensor], tangents: Sequence[Any], cotangents: Sequence[Any]
    ) -> tuple[list[Any] | None, bool]:
        if self._sample.info.supports_gradgrad and self._sample.info.name not in ONCE:
            leaves = [x.detach().requires_grad_() for x in point]
            slopes = self._pulled_back(leaves, cotangents, graph=True)
            twice = _gradient(slopes, leaves, [torch.tensor(t) for t in tangents])
            return [np.conj(_array(x)) for x in twice], False
        if any(x.is_complex() for x in point):
            return None, True

        def slope(t: float) -> list[Any]:
            moved = [x + t * torch.tensor(v) for x, v in zip(point, tangents, strict=True)]
            return [_array(x) for x in self._pulled_back(moved, cotangents)]

        step = 1e-3
        coarse, fine = (
            [(a - b) / (2 * h) for a, b in zip(slope(h), slope(-h), strict=True)]
            for h in (step, step / 2)
        )
        return [(4 * b - a) / 3 for a, b in zip(coarse, fine, strict=True)], True


def _flat(result: Any) -> Iterator[Any]:
    if isinstance(result, tuple | list):
        for part in result:
            yield from _flat(part)
    else:
        yield result


def _gradient(
    outputs: Sequence[torch.Tensor],
    leaves: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor],
    graph: bool = False,
) -> list[torch.Tensor]:
    used = [(y, u) for y, u in zip(outputs, cotangents, strict=True) if y.requires_grad]
    if not used:
        return [torch.zeros_like(x) for x in leaves]
    found = torch.autograd.grad(
        [y for y, _ in used],
        leaves,
        [u.to(y.dtype) for y, u in used],
        create_graph=graph,
        allow_unused=True,
    )
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)]


def _direction(rng: np.random.Generator, like: Any) -> Any:
    x = rng.uniform(-1, 1, like.shape)
    if like.dtype.kind == "c":
        x = x + 1j * rng.uniform(-1, 1, like.shape)
    return np.asarray(x, like.dtype)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Lets PyTorch warn of what this suite does on purpose."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
