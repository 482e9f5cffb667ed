"""Convolutions and pools at paddings, windows and sizes that are easily fatal."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradwire_server.compiler.lowering import LOWERINGS

FAR = 4_000_000


def _conv(x: Any, weights: Any) -> Any:
    """A kernel of two with a padding that XLA's own convolution dies of."""
    attrs = {"strides": (1,), "padding": (0, FAR), "dilation": (1,), "groups": 1}
    return LOWERINGS["nn.conv"](x, weights, **attrs)


def test_padding_beyond_the_reach_of_a_kernel() -> None:
    """Value and gradients are those of a sum written out."""
    x, weights = np.arange(1.0, 6).reshape(1, 1, 5), np.array([[[2.0, -1]]])

    def loss(x: Any, weights: Any) -> Any:
        y = _conv(x, weights)
        return jnp.sum(y * y), y[0, 0, :7]

    (value, start), (by_x, by_weights) = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(
        x, weights
    )
    left = np.array([1.0, 2, 3, 4, 5])
    right = np.array([2.0, 3, 4, 5, 0])
    y = 2 * left - right
    np.testing.assert_array_equal(start, [*y, 0, 0])
    assert value == y @ y
    np.testing.assert_array_equal(by_weights, [[[2 * y @ left, 2 * y @ right]]])
    np.testing.assert_array_equal(by_x[0, 0], 4 * y - 2 * np.array([0, *y[:-1]]))


def test_paddings_of_two_axes_with_strides_and_groups() -> None:
    """Padding in any amount is zeros around x, whoever puts them there."""
    rng = np.random.default_rng(2)
    x, weights = rng.normal(size=(2, 4, 5, 6)), rng.normal(size=(4, 2, 3, 2))
    attrs = {"strides": (2, 3), "dilation": (2, 1), "groups": 2}
    padding = (9, 1, 0, 7)
    got = LOWERINGS["nn.conv"](x, weights, padding=padding, **attrs)
    around = np.pad(x, [(0, 0), (0, 0), (9, 1), (0, 7)])
    want = LOWERINGS["nn.conv"](around, weights, padding=(0, 0, 0, 0), **attrs)
    np.testing.assert_allclose(got, want, 0, 1e-13)


def test_what_a_mean_counts() -> None:
    """The elements of x in each window, along two axes, without and with padding."""
    x = np.arange(20.0).reshape(4, 5)
    window = {"window": (3, 2), "strides": (2, 1), "padding": (2, 1, 1, 1)}
    around, inside = np.zeros((7, 7)), np.zeros((7, 7))
    around[2:6, 1:6], inside[2:6, 1:6] = x, 1
    for included in (False, True):
        got = LOWERINGS["nn.avg_pool"](x, count_include_pad=included, **window)
        assert got.shape == (3, 6)
        for i, j in np.ndindex(3, 6):
            place = np.s_[2 * i : 2 * i + 3, j : j + 2]
            count = 6 if included else inside[place].sum()
            np.testing.assert_allclose(got[i, j], around[place].sum() / count, 1e-15)


def test_a_mean_of_very_many_half_precision_numbers() -> None:
    """Counts above 65504 are no float16, the mean is."""
    x = jnp.full((70_000,), 2.0**-3, jnp.float16)
    window = {"window": (70_000,), "strides": (1,), "padding": (0, 0)}
    for included in (False, True):
        got = LOWERINGS["nn.avg_pool"](x, count_include_pad=included, **window)
        assert np.isfinite(got).all()
        assert got[0] > 0


def test_a_huge_window_compiles_at_once() -> None:
    """No count is computed by the compiler: what it makes holds no array of them."""
    x = jax.ShapeDtypeStruct((2**20,), np.float32)
    window = {"window": (2**19,), "strides": (2**10,), "padding": (2**18, 2**18)}

    def pool(x: Any) -> Any:
        return LOWERINGS["nn.avg_pool"](x, count_include_pad=False, **window)

    text = jax.jit(pool).lower(x).as_text()
    assert text.count("reduce_window") == 1
