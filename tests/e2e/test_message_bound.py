from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gradwire as gw
from gradwire_server.app import build
from serving import settings_in

MIB = 2**20


def _double(size: int) -> np.ndarray:
    return np.asarray(gw.remote(lambda x: x + x)(np.ones(size, np.uint8)))


def test_a_server_may_take_more_than_the_default(tmp_path: Path) -> None:
    """The client follows what it reports, for requests and for answers."""
    with build(settings_in(tmp_path, max_message_bytes=96 * MIB)) as app, gw.connect(app.address):
        result = _double(70 * MIB)
        assert result.shape == (70 * MIB,)
        assert (result == 2).all()
        with pytest.raises(gw.LimitExceededError) as caught:
            _double(96 * MIB)
        assert caught.value.metadata["allowed"] == str(96 * MIB)


def test_a_server_may_take_less_than_the_default(tmp_path: Path) -> None:
    """A larger request is refused before it is sent: gRPC's own refusal has no metadata."""
    settings = settings_in(tmp_path, max_message_bytes=MIB, listen="127.0.0.1:0")
    with build(settings) as app, gw.connect(app.address):
        assert _double(MIB // 2).sum() == MIB
        with pytest.raises(gw.LimitExceededError) as caught:
            _double(2 * MIB)
        assert caught.value.metadata == {
            "limit": "max_message_bytes",
            "allowed": str(MIB),
            "got": str(2 * MIB),
        }
