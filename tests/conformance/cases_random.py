"""Cases of the random family, against Threefry written in NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.special

from conformance.harness import FLOATS, Case, Rng
from gradwire.tensors import BFLOAT16, Array, Dtype

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(key: Array, counter: Array) -> Array:
    """Threefry-2x32 with 20 rounds (Random123, threefry.h) of counters (..., 2)."""
    x, y = np.asarray(counter, np.uint32)[..., 0], np.asarray(counter, np.uint32)[..., 1]
    words = [*np.asarray(key, np.uint32), np.uint32(0)]
    words[2] = words[0] ^ words[1] ^ np.uint32(0x1BD11BDA)
    x, y = x + words[0], y + words[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << np.uint32(turn)) | (y >> np.uint32(32 - turn))) ^ x
        x = x + words[(group + 1) % 3]
        y = y + words[(group + 2) % 3] + np.uint32(group + 1)
    return np.stack([x, y], -1)


def pairs(key: Array, size: int) -> Array:
    """The outputs (size, 2) for the counters 0, 1, 2 ..."""
    index = np.arange(size, dtype=np.uint64)
    return threefry(key, np.stack([index >> np.uint64(32), index], -1).astype(np.uint32))


def bits(key: Array, shape: tuple[int, ...]) -> Array:
    words = pairs(key, math.prod(shape))
    return np.asarray((words[:, 0] ^ words[:, 1]).reshape(shape))


def _mantissas(key: Array, dtype: Dtype, shape: tuple[int, ...]) -> tuple[Array, int]:
    """The highest bits of each word as integers, and how many they are."""
    if dtype == np.float64:
        words = pairs(key, math.prod(shape)).astype(np.uint64)
        return ((words[:, 0] << np.uint64(20)) | (words[:, 1] >> np.uint64(12))).reshape(shape), 52
    count = 7 if dtype == BFLOAT16 else {2: 10, 4: 23}[dtype.itemsize]
    return bits(key, shape) >> np.uint32(32 - count), count


def _uniform(key: Array, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    m, count = _mantissas(key, dtype, shape)
    return m.astype(np.float64) * 2.0**-count


def _normal(key: Array, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    m, count = _mantissas(key, np.dtype("f4") if dtype.itemsize < 4 else dtype, shape)
    centred = ((2 * m.astype(np.int64) + 1) - 2**count) * 2.0**-count
    return np.asarray(math.sqrt(2) * scipy.special.erfinv(centred))


def _bernoulli(dtype: Dtype) -> Case:
    """In one dtype: p decides which bits are drawn."""
    return Case(
        "random.bernoulli",
        lambda rng, d: [*_key(rng, d), np.asarray(0.3).astype(d)],
        lambda key, p, shape: _uniform(key, dtype, shape) < p,
        (dtype.name,),
        {"shape": (4, 25)},
        name=dtype.name,
    )


def _key(rng: Rng, dtype: Dtype) -> Sequence[Array]:
    del dtype
    return [rng.integers(0, 2**32, 2, dtype=np.uint32)]


def _typed_key(rng: Rng, dtype: Dtype) -> Sequence[Array]:
    """A key in any dtype: all but uint32 must be refused."""
    return _key(rng, dtype) if dtype == np.uint32 else [np.zeros(2, dtype)]


CASES = (
    *(_bernoulli(d) for d in (np.dtype("f2"), BFLOAT16, np.dtype("f4"), np.dtype("f8"))),
    Case("random.bits", _typed_key, bits, ("uint32",), {"shape": (3, 5)}),
    Case("random.bits", _typed_key, bits, ("uint32",), {"shape": ()}, "scalar"),
    Case("random.bits", _typed_key, bits, ("uint32",), {"shape": (2, 0)}, "empty"),
    Case(
        "random.key",
        lambda r, d: [_typed_key(r, d)[0][1]],
        lambda seed: np.stack([np.uint32(0), seed]),
        ("uint32",),
    ),
    Case(
        "random.split",
        _typed_key,
        lambda key, num: pairs(key, num),
        ("uint32",),
        {"num": 3},
        "three",
    ),
    Case("random.split", _typed_key, lambda key: pairs(key, 2), ("uint32",)),
    Case("random.normal", _key, _normal, FLOATS, lambda d: {"dtype": d, "shape": (5, 40)}),
    Case(
        "random.uniform",
        _key,
        _uniform,
        FLOATS,
        lambda d: {"dtype": d, "shape": (5, 40)},
        ulps=0,
    ),
)
