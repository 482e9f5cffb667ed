"""A real server in this process, which a whole test session uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import gradwire as gw
from gradwire_server.app import App, build
from gradwire_server.config.settings import Settings


@pytest.fixture(scope="session")
def session_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A server on a Unix socket, with an empty cache of executables."""
    folder: Path = tmp_path_factory.mktemp("server")
    settings = Settings(
        listen=f"unix:{folder}/socket",
        metrics="off",
        cache_dir=str(folder / "cache"),
        grace=1.0,
        compile="in-process",  # a process of its own would wait for the tests beside it
    )
    with build(settings) as app:
        yield app


@pytest.fixture(scope="module")
def module_connection(session_app: App) -> Iterator[gw.Connection]:
    """A connection to it that the tests of one file share."""
    with gw.connect(session_app.address) as connection:
        yield connection


@pytest.fixture
def server(session_app: App, module_connection: gw.Connection) -> App:
    """The server; calls go to it."""
    return session_app
