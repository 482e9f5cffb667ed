"""The largest request that a server takes, checked before one is sent."""

from __future__ import annotations

from gradwire.errors import LimitExceededError
from gradwire.v1 import service_pb2

DEFAULT_MESSAGE_BYTES = 64 * 2**20
"""The bound until the server has reported its own: what a server has by default."""
LIMIT = "max_message_bytes"

_MOST_BYTES = 2**31 - 1
"""Protobuf writes no larger message, whatever the server takes."""


class MessageBound:
    """The bound of one connection. Thread-safe."""

    def __init__(self) -> None:
        self._bytes = DEFAULT_MESSAGE_BYTES

    def learn(self, info: service_pb2.GetServerInfoResponse) -> None:
        """Takes the bound that a server reports, or the default if it reports none."""
        reported = [limit.value for limit in info.limits if limit.name == LIMIT]
        # False for NaN, too.
        valid = bool(reported) and reported[0] >= 1
        self._bytes = int(min(reported[0], _MOST_BYTES)) if valid else DEFAULT_MESSAGE_BYTES

    def allows(self, size: int) -> bool:
        """Returns whether a request of so many bytes may be sent."""
        return size <= self._bytes

    def check(self, size: int, call_id: str = "") -> None:
        """Checks the bytes of a request before they are sent.

        Raises:
            LimitExceededError: they are too many.
        """
        allowed = self._bytes
        if size > allowed:
            raise LimitExceededError(
                f"a request must have at most {allowed} bytes ({allowed / 2**20:.4g} MiB), program "
                f"and inputs together; got {size}",
                metadata={"limit": LIMIT, "allowed": str(allowed), "got": str(size)},
                call_id=call_id,
            )
