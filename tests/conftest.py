"""What all tests share: a quiet XLA, one in haste if asked for, files in a random order, seeds."""

import gc
import os
from collections.abc import Sequence
from random import Random

import pytest

from haste import quick_flags

# XLA writes a screenful of harmless errors for each executable it loads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--quick-compiles``, ``--shuffle-files`` and ``--schedule-seed``."""
    parser.addoption(
        "--quick-compiles",
        action="store_true",
        help="compile without optimisation, in servers too; by default as a server does",
    )
    parser.addoption(
        "--shuffle-files",
        type=int,
        metavar="SEED",
        help="run the files in an order that follows from the seed, each file as it is written",
    )
    parser.addoption(
        "--schedule-seed",
        type=int,
        metavar="SEED",
        help="run threads in the order of this seed alone, rather than of all that a test has",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Gives XLA its flags before anybody imports it; other processes inherit them."""
    if config.getoption("--quick-compiles"):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {quick_flags()}".strip()


def pytest_collection_finish() -> None:
    """Leaves the thousands of tests out of every later look for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(
    params=[
        pytest.param(range(100), id="hundred"),
        pytest.param(range(100, 2000), id="thousands", marks=pytest.mark.long),
    ]
)
def seeds(request: pytest.FixtureRequest) -> Sequence[int]:
    """Those of the schedules to be played, or the one that the command names."""
    only = request.config.getoption("--schedule-seed")
    chosen: Sequence[int] = request.param if only is None else [only]
    return chosen


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffles the files; alike in every worker of xdist, which insists on it."""
    seed = config.getoption("--shuffle-files")
    if seed is not None:
        files = sorted({item.path for item in items})
        Random(seed).shuffle(files)
        places = {path: place for place, path in enumerate(files)}
        items.sort(key=lambda item: places[item.path])
