"""Batches of matrices: LAPACK gets them in pieces that no threads share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradwire_server.compiler.lowering  # noqa: F401 - has the batches cut
from gradwire.tensors import Array
from gradwire_server.compiler.lowering.linalg import lapack

jax.config.update("jax_enable_x64", True)

MANY = """
import gradwire_server.compiler.lowering
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
a = np.eye(64) + np.random.default_rng(0).normal(size=(8, 8, 64, 64)) / 100
a = a @ a.swapaxes(-1, -2)

@jax.jit
def run(a):
    return [(jax.numpy.linalg.cholesky(x), jax.numpy.linalg.solve(x, x)) for x in a]

for _ in range(30):
    jax.block_until_ready(run(a))
print("done")
"""


def _matrices(batch: int, size: int, dtype: str) -> Array:
    """Positive definite ones."""
    rng = np.random.default_rng(3)
    a = rng.normal(size=(2, batch, size, size)) + 1j * rng.normal(size=(2, batch, size, size))
    a = a if dtype == "complex128" else a.real
    return a @ a.conj().swapaxes(-1, -2) + size * np.eye(size)


def test_many_batches_at_once_wait_for_nothing() -> None:
    """Where they were shared among two threads, both waited for ever."""
    run = subprocess.run(
        [sys.executable, "-c", MANY],
        env={**os.environ, "NPROC": "2", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        timeout=100,
        text=True,
        check=False,
    )
    assert run.stdout == "done\n", run.stderr


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(("batch", "size"), [(7, 80), (101, 12), (3, 5)])
@pytest.mark.parametrize(
    ("ours", "numpys"),
    [
        (jnp.linalg.cholesky, np.linalg.cholesky),
        (jnp.linalg.inv, np.linalg.inv),
        (jnp.linalg.eigvalsh, np.linalg.eigvalsh),
        (lambda a: jnp.abs(jnp.linalg.qr(a)[0]), lambda a: np.abs(np.linalg.qr(a)[0])),
        (lambda a: jnp.linalg.svd(a)[1], lambda a: np.linalg.svd(a)[1]),
    ],
    ids=["cholesky", "inv", "eigvalsh", "qr", "svd"],
)
def test_each_matrix_of_a_batch_has_its_result(
    ours: Callable[[Any], Any], numpys: Callable[[Any], Any], batch: int, size: int, dtype: str
) -> None:
    """Whether pieces hold one matrix or more, and whether they fit the batch or not."""
    a = _matrices(batch, size, dtype)
    np.testing.assert_allclose(jax.jit(ours)(a), numpys(a), rtol=1e-10, atol=1e-12)


def test_a_rule_that_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of that kind would be shared again."""
    monkeypatch.setattr(lapack, "_SHARES_BATCHES", ((0,), (99,)))
    monkeypatch.setitem(lapack._WORK, "no_such", 1)
    with pytest.raises(RuntimeError, match=r"must have CPU rules for \['no_such'\]"):
        lapack.cut_batches()
