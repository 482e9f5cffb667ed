"""A server in this process for the tests of one file that leave it as it was; a watchdog."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gradwire_server.app import App
from gradwire_server.process.watchdog import Watchdog
from serving import Stub, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Stub]]:
    """The server, and a stub to it."""
    with serving(tmp_path_factory.mktemp("server"), max_batch_rows=8, max_batch_sizes=2) as both:
        yield both


@pytest.fixture
def stub(server: tuple[App, Stub]) -> Stub:
    """A stub to it."""
    return server[1]


@pytest.fixture
def app(server: tuple[App, Stub]) -> App:
    """The server."""
    return server[0]


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    """One that watches."""
    made = Watchdog()
    made.start()
    yield made
    made.stop()
