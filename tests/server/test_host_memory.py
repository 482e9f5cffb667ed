from __future__ import annotations

from pathlib import Path

import pytest

from gradwire_server.runtime import host_memory


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GB free, in files of the test's own."""
    monkeypatch.setattr(host_memory, "CGROUP", tmp_path)
    monkeypatch.setattr(host_memory, "MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n")
    return tmp_path


def test_a_machine_says_what_is_available(system: Path) -> None:
    """Without a container, or in one without a bound."""
    assert host_memory.free_bytes() == 8_000_000 * 1024
    (system / "memory.max").write_text("max\n")
    (system / "memory.current").write_text("5\n")
    assert host_memory.free_bytes() == 8_000_000 * 1024


def test_a_container_has_less(system: Path) -> None:
    """What it keeps of files is given back when a run needs it."""
    (system / "memory.max").write_text("1000\n")
    (system / "memory.current").write_text("900\n")
    assert host_memory.free_bytes() == 100
    (system / "memory.stat").write_text("anon 5\ninactive_file 30\nactive_file 7\n")
    assert host_memory.free_bytes() == 130
    (system / "memory.current").write_text("2000\n")
    assert host_memory.free_bytes() == 0


def test_another_system_says_nothing(system: Path) -> None:
    """Then nothing is known, which is not the same as nothing free."""
    (system / "meminfo").unlink()
    assert host_memory.free_bytes() is None


def test_this_machine_has_memory() -> None:
    """The total bounds what is free."""
    free = host_memory.free_bytes()
    assert free is None or 0 < free <= host_memory.total_bytes()
