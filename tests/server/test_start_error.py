from __future__ import annotations

import pytest

from gradwire_server.jax_setup import DeviceError
from gradwire_server.rpc.auth.guard import CredentialError
from gradwire_server.runtime.store import StoreError
from gradwire_server.self_test import SelfTestError
from gradwire_server.start_error import StartError
from gradwire_server.warmup import WarmError


@pytest.mark.parametrize(
    "error", [CredentialError, DeviceError, SelfTestError, StoreError, WarmError]
)
def test_what_ends_a_start_is_of_one_family(error: type[Exception]) -> None:
    """The command reports each as it is."""
    assert issubclass(error, StartError)
