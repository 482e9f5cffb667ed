from __future__ import annotations

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
import pytest

from gradwire_server.runtime import devices
from gradwire_server.runtime.devices import environment, libraries, list_devices, set_up_jax

FLAG = "--xla_cpu_experimental_ynn_fusion_type=-reduce"


def test_double_precision_is_on() -> None:
    """Without it float64 is silently narrowed."""
    set_up_jax()
    assert jnp.asarray(np.float64(1)).dtype == np.float64


def test_devices_are_described() -> None:
    """With their memory, so that a run that can't fit is refused before."""
    found = list_devices()
    assert len(found) == jax.local_device_count()
    assert all(device.memory_bytes > 2**28 and device.kind for device in found)
    assert libraries()["jax"] == jax.__version__


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
    """In the releases that have them; a flag that is set already is kept."""
    monkeypatch.setattr(jaxlib.version, "__version_info__", version)
    monkeypatch.setenv("XLA_FLAGS", before)
    set_up_jax.__wrapped__()
    assert os.environ["XLA_FLAGS"] == after


def test_the_environment_names_what_changes_results() -> None:
    """Versions, the machine, and the sources, in text that a log can show."""
    lines = dict(line.split("=", 1) for line in environment().splitlines())
    assert lines["jax"] == jax.__version__
    assert lines["x64"] == "True"
    assert len(lines["sources"]) == 64
    assert lines["platform"] == jax.default_backend()
    assert lines["cpu"]


def test_edited_sources_are_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise an edited lowering would be served from the cache as it was before."""
    before = devices._hash_sources()
    assert devices._hash_sources() == before
    read = devices.Path.read_bytes

    def edited(wanted: str) -> str:
        def read_edited(self: Path) -> bytes:
            return b"edited" if self.name == wanted else read(self)

        with monkeypatch.context() as patch:
            patch.setattr(devices.Path, "read_bytes", read_edited)
            return devices._hash_sources()

    for name in ("compile.py", "schur.py", "decode.py", "jax_setup.py", "infer.py", "tensors.py"):
        assert edited(name) != before, name
    for name in ("app.py", "metrics.py", "engine.py", "settings.py"):
        assert edited(name) == before, name
