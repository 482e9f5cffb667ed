"""What all tests share: a quiet XLA, and one in haste if asked for."""

import os

import pytest

from haste import quick_flags

# XLA writes a screenful of harmless errors for each executable it loads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--quick-compiles``."""
    parser.addoption(
        "--quick-compiles",
        action="store_true",
        help="compile without optimisation, in servers too; by default as a server does",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Gives XLA its flags before anybody imports it; other processes inherit them."""
    if config.getoption("--quick-compiles"):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {quick_flags()}".strip()
