"""A slice of the suites for those in haste, and JAX in double precision."""

from __future__ import annotations

import zlib

import jax
import pytest

jax.config.update("jax_enable_x64", True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slice",
        type=int,
        default=1,
        metavar="N",
        help="run one test of N, chosen by the test's name: the same ones everywhere",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    count: int = config.getoption("--slice")
    chosen = [item for item in items if zlib.crc32(item.name.encode()) % count == 0]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen
