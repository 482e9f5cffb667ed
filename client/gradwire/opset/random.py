"""The random family: numbers that are a function of a key alone.

The generator is Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw 2011)
in counter mode. Under key k let (aᵢ, bᵢ) be its output for the counter
(i >> 32, i mod 2³²). Element i of a result, in C order, comes from

- ``split``: the key (aᵢ, bᵢ);
- ``bits``: the word aᵢ xor bᵢ;
- ``uniform``: the highest p bits m of that word (float64: of aᵢ 2³² + bᵢ) as
  m 2⁻ᵖ, with p = 23, 52, 10, 7 for float32, float64, float16, bfloat16;
- ``normal``: √2 erfinv((2m + 1) 2⁻ᵖ − 1), in half precision rounded from
  float32's;
- ``bernoulli``: whether ``uniform`` in p's dtype is less than p.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradwire.opset.core import (
    BOOL,
    UINT32,
    AttrSpec,
    Call,
    Derivatives,
    InferRule,
    Kind,
    OpDef,
    require,
)
from gradwire.opset.rules import check_dtype, checked
from gradwire.tensors import TensorType

_KEY = TensorType(UINT32, (2,))


def _check_key(call: Call) -> None:
    key = call.inputs[0]
    require(key == _KEY, lambda: f"`inputs[0]` must be a key, {_KEY}; got {key}")


def _infer_key(call: Call) -> Sequence[TensorType]:
    (seed,) = call.inputs
    wanted = TensorType(UINT32, ())
    require(seed == wanted, lambda: f"`inputs[0]` must be {wanted}; got {seed}")
    return [_KEY]


def _infer_split(call: Call) -> Sequence[TensorType]:
    _check_key(call)
    return [checked(UINT32, (call.attrs["num"], 2))]


def _infer_bits(call: Call) -> Sequence[TensorType]:
    _check_key(call)
    return [checked(UINT32, call.attrs["shape"])]


def _infer_numbers(call: Call) -> Sequence[TensorType]:
    _check_key(call)
    check_dtype(call.attrs["dtype"], "floating", "`dtype`")
    return [checked(call.attrs["dtype"], call.attrs["shape"])]


def _infer_bernoulli(call: Call) -> Sequence[TensorType]:
    _check_key(call)
    p = call.inputs[1]
    check_dtype(p.dtype, "floating", "`inputs[1]`")
    require(p.shape == (), lambda: f"`inputs[1]` must be a scalar; got {p}")
    return [checked(BOOL, call.attrs["shape"])]


def _op(
    name: str,
    doc: str,
    infer: InferRule,
    operands: str,
    dtypes: str,
    attrs: Mapping[str, AttrSpec],
    *,
    own_dtype: tuple[int, ...] = (),
) -> OpDef:
    count = operands.count(",") + 1
    return OpDef(
        f"random.{name}",
        doc,
        infer,
        (count, count),
        attrs,
        derivatives=Derivatives.ZERO,
        operands=operands,
        dtypes=dtypes,
        own_dtype=own_dtype,
    )


_SHAPE = AttrSpec(Kind.INTS, "the shape of the result", ())
_DTYPE = AttrSpec(Kind.DTYPE, "the dtype of the result, a floating one", omitted=np.float64)

OPS = (
    _op(
        "bernoulli",
        "True with the probability p, a scalar.",
        _infer_bernoulli,
        "key, p",
        "floating",
        {"shape": _SHAPE},
        own_dtype=(0,),
    ),
    _op("bits", "Random uint32 numbers.", _infer_bits, "key", "uint32", {"shape": _SHAPE}),
    _op("key", "The key (0, seed) of a generator.", _infer_key, "seed", "uint32", {}),
    _op(
        "normal",
        "Normal numbers of mean 0 and variance 1.",
        _infer_numbers,
        "key",
        "floating",
        {"dtype": _DTYPE, "shape": _SHAPE},
    ),
    _op(
        "split",
        "Keys (num, 2) of independent generators; the key itself must not be used again.",
        _infer_split,
        "key",
        "uint32",
        {"num": AttrSpec(Kind.INT, "how many", 2)},
    ),
    _op(
        "uniform",
        "Uniform numbers from 0 on, below 1.",
        _infer_numbers,
        "key",
        "floating",
        {"dtype": _DTYPE, "shape": _SHAPE},
    ),
)
