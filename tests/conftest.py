"""What all tests share: a quiet XLA, and one in haste if asked for."""

import os
from importlib import metadata

import pytest

# XLA writes a screenful of harmless errors for each executable it loads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HASTE = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
"""Flags that save two thirds of XLA's work on a program that runs once on a CPU."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--quick-compiles``."""
    parser.addoption(
        "--quick-compiles",
        action="store_true",
        help="compile without optimisation, in servers too; by default as a server does",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Gives XLA its flags before anybody imports it; other processes inherit them."""
    if config.getoption("--quick-compiles") and _knows_the_flags():
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {HASTE}".strip()


def _knows_the_flags() -> bool:
    """Says whether this jaxlib was tried with them: XLA aborts on one that it doesn't know."""
    try:
        return metadata.version("jaxlib").startswith("0.10.")
    except metadata.PackageNotFoundError:  # in an environment of the thin client
        return False
