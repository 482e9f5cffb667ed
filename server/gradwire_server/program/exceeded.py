"""The error for a bound that is passed."""

from __future__ import annotations

from gradwire.errors import LimitExceededError


def exceeded(
    limit: str, allowed: int, got: int, *, function: int | None = None, node: int | None = None
) -> LimitExceededError:
    """Makes the error for a bound that is exceeded."""
    return LimitExceededError(
        f"`{limit}` is {allowed} on this server; got {got}",
        field=limit,
        function=function,
        node=node,
        metadata={"limit": limit, "allowed": str(allowed), "got": str(got)},
    )
