from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradwire_server import self_test as selftest
from gradwire_server.app import build
from gradwire_server.self_test import CHECKS, SelfTestError, run_self_test
from gradwire_server.serving.compilers import CompilerInProcess
from gradwire_server.start_error import StartError
from serving import settings_in


def test_this_installation_is_right() -> None:
    """The checks pass on this machine, or the other tests would mean nothing."""
    run_self_test(CompilerInProcess.compile_program)
    assert len(CHECKS) >= 6


def _wrong_sums() -> None:
    selftest._expect(np.array([0.0, np.nan]), np.zeros(2), 0.0)


@pytest.mark.parametrize("got", [np.nan, np.inf, 1 + 2e-6, 1 - 2e-6, 1e30])
def test_a_wrong_number_is_found(got: float) -> None:
    """NaN, infinity, and what is off by more than is allowed; the bound itself passes."""
    selftest._expect(np.array([1.0 + 1e-6, -1.0]), np.array([1.0, -1.0]), 1.1e-6)
    with pytest.raises(ArithmeticError):
        selftest._expect(np.array([got, -1.0]), np.array([1.0, -1.0]), 1e-6)


def test_a_server_that_would_be_wrong_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says which check failed, and holds no address."""
    monkeypatch.setattr(selftest, "CHECKS", (_wrong_sums,))
    run_self_test.cache_clear()
    try:
        with pytest.raises(SelfTestError, match="the self-test failed: wrong sums: the error is"):
            run_self_test(CompilerInProcess.compile_program)
        app = build(settings_in(tmp_path, metrics="127.0.0.1:0"))
        with pytest.raises(StartError, match="This server would return wrong numbers"):
            app.start()
        assert (app.address, app.metrics_url) == ("", None)
        assert not (tmp_path / "socket").exists()
    finally:
        run_self_test.cache_clear()


def _crash() -> None:
    raise OSError("no device")


def test_a_check_that_crashes_is_not_called_a_wrong_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text leads to the cause, and not to a miscompilation."""
    monkeypatch.setattr(selftest, "CHECKS", (_crash,))
    run_self_test.cache_clear()
    try:
        with pytest.raises(SelfTestError, match="could not run: crash: no device") as caught:
            run_self_test(CompilerInProcess.compile_program)
        assert "wrong numbers" not in str(caught.value)
    finally:
        run_self_test.cache_clear()
