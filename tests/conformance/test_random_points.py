"""Random numbers: the generator's published outputs, and what must hold of every number."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conformance.cases_random import bits, pairs, threefry
from conformance.harness import one_node
from gradwire.errors import InvalidProgramError
from gradwire_server.compiler.lowering import LOWERINGS
from programs import vector

KEY = np.array([0x13198A2E, 0x03707344], np.uint32)

PUBLISHED = (
    # counter, key, output: kat_vectors of Random123 for threefry2x32, 20 rounds
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((2**32 - 1, 2**32 - 1), (2**32 - 1, 2**32 - 1), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
)


@pytest.mark.parametrize(("counter", "key", "output"), PUBLISHED)
def test_the_reference_is_threefry(
    counter: Sequence[int], key: Sequence[int], output: Sequence[int]
) -> None:
    """The NumPy generator of the cases gives the outputs that its inventors published."""
    got = threefry(np.array(key, np.uint32), np.array([counter], np.uint32))
    np.testing.assert_array_equal(got, np.array([output], np.uint32))


@pytest.mark.parametrize("partitionable", [False, True])
def test_numbers_do_not_depend_on_flags(partitionable: bool) -> None:
    """JAX lays its counters out in two ways, and has other generators."""
    with jax.threefry_partitionable(partitionable), jax.default_prng_impl("rbg"):
        words = LOWERINGS["random.bits"](jnp.asarray(KEY), shape=(7,))
        keys = LOWERINGS["random.split"](jnp.asarray(KEY), num=5)
    np.testing.assert_array_equal(words, bits(KEY, (7,)))
    np.testing.assert_array_equal(keys, pairs(KEY, 5))


def test_numbers_stay_in_their_range() -> None:
    """Uniform ones from 0 on and below 1 in every dtype; normal ones finite, of their moments."""
    for name in ("float16", "bfloat16", "float32", "float64"):
        attrs = {"dtype": jnp.dtype(name), "shape": (100_000,)}
        u = np.asarray(LOWERINGS["random.uniform"](jnp.asarray(KEY), **attrs), np.float64)
        x = np.asarray(LOWERINGS["random.normal"](jnp.asarray(KEY), **attrs), np.float64)
        assert u.min() >= 0
        assert 0.9 < u.max() < 1
        assert np.isfinite(x).all()
        # Six standard deviations of each mean; bfloat16's uniform is 2**-8 too low.
        bias = 2.0**-8 if name == "bfloat16" else 2.0**-11 if name == "float16" else 0
        assert abs(u.mean() + bias - 0.5) < 6 / np.sqrt(12e5)
        assert abs(x.mean()) < 6 / np.sqrt(1e5)
        assert abs((x**2).mean() - 1) < 6 * np.sqrt(2 / 1e5)


def test_bernoulli_at_the_ends() -> None:
    """Never at 0 and always at 1, not even for the number 0; never for NaN."""
    draw = LOWERINGS["random.bernoulli"]
    for p, wanted in ((0.0, False), (1.0, True), (np.nan, False)):
        got = draw(jnp.asarray(KEY), jnp.asarray(p, jnp.bfloat16), shape=(1000,))
        assert (np.asarray(got) == wanted).all()


@pytest.mark.parametrize("op", ["bits", "split", "uniform", "normal", "bernoulli"])
@pytest.mark.parametrize("key", [("int32", (2,)), ("uint32", (3,)), ("uint32", (4, 2))])
def test_what_is_no_key_is_refused(op: str, key: tuple[str, tuple[int, ...]]) -> None:
    """A key is two words of uint32."""
    attrs = {"dtype": np.dtype("f4")} if op in ("uniform", "normal") else {}
    types = [vector(*key[1], dtype=key[0])]
    if op == "bernoulli":
        types.append(vector(dtype="f4"))
    with pytest.raises(InvalidProgramError, match=r"must be a key, uint32\[2\]; got"):
        one_node(f"random.{op}", types, attrs)


@pytest.mark.parametrize(("op", "shape"), [("key", (1,)), ("bernoulli", (1,))])
def test_scalars_are_refused_as_arrays(op: str, shape: tuple[int, ...]) -> None:
    """One seed makes one key, one probability serves all numbers."""
    operand = vector(*shape, dtype="u4" if op == "key" else "f4")
    key = [] if op == "key" else [vector(2, dtype="u4")]
    with pytest.raises(InvalidProgramError, match="must be"):
        one_node(f"random.{op}", [*key, operand], {})
