"""Devices, and what names the environment of a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import pytest

from gradwire_server.jax_setup import DeviceError
from gradwire_server.runtime import devices
from gradwire_server.runtime.devices import environment, libraries, list_devices


def test_devices_are_described() -> None:
    """With their memory, so that a run that can't fit is refused before."""
    found = list_devices()
    assert len(found) == jax.local_device_count()
    assert all(device.memory_bytes > 2**28 and device.kind for device in found)
    assert libraries()["jax"] == jax.__version__


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


def test_a_device_that_works_is_told_from_one_that_is_lost() -> None:
    """One that is full computes again later."""
    probe = devices.DeviceProbe()
    assert probe.works()

    def fail_with(text: str) -> bool:
        def call(*arguments: Any) -> Any:
            raise jax.errors.JaxRuntimeError(text)

        probe._add_one = call
        return probe.works()

    assert not fail_with("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access")
    assert fail_with("RESOURCE_EXHAUSTED: Out of memory allocating 4 bytes.")
    probe._add_one = lambda x: x
    assert not probe.works()


def test_a_device_that_compiles_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which says why."""

    def fail(function: object) -> None:
        raise jax.errors.JaxRuntimeError("INTERNAL: CUDA_ERROR_NOT_PERMITTED")

    monkeypatch.setattr(devices.jax, "jit", fail)
    with pytest.raises(DeviceError, match="CUDA_ERROR_NOT_PERMITTED"):
        devices.DeviceProbe()
