"""JAX is set up before anything is computed."""

from __future__ import annotations

import os

import jax.numpy as jnp
import jaxlib.version
import numpy as np
import pytest

from gradwire_server.jax_setup import set_up_jax

FLAG = "--xla_cpu_experimental_ynn_fusion_type=-reduce"


def test_double_precision_is_on() -> None:
    """Without it float64 is narrowed in silence."""
    set_up_jax()
    assert jnp.asarray(np.float64(1)).dtype == np.float64


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [
        ((0, 10, 1), "", ""),
        ((0, 10, 2), "", FLAG),
        ((0, 11, 0), "--xla_x=1", f"--xla_x=1 {FLAG}"),
        ((0, 11, 2), FLAG.replace("-reduce", "dot"), FLAG.replace("-reduce", "dot")),
        ((0, 12, 0), "", ""),
    ],
)
def test_wrong_reductions_are_turned_off(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], before: str, after: str
) -> None:
    """In the releases that have them; a flag that is set already stays."""
    monkeypatch.setattr(jaxlib.version, "__version_info__", version)
    monkeypatch.setenv("XLA_FLAGS", before)
    set_up_jax.__wrapped__()
    assert os.environ["XLA_FLAGS"] == after
