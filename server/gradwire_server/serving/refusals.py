"""What is refused for a time, by which error: plans, and single compiles of plans.

A compile is refused that has passed a bound or brought compilers down. It is kept in the
quarantine, where the reason is all that is known of the error.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType

from gradwire.errors import GradwireError, LimitExceededError, QuarantinedError
from gradwire_server.process.quarantine import Entry, QuarantinedPlans
from gradwire_server.program.batch import NO_BATCH

_COMPILING = "compiling: "
_BOUNDS = "max_compile_"


class Refusals:
    """The refusals of one server."""

    def __init__(
        self,
        quarantined: QuarantinedPlans,
        bounds: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Refuses what is quarantined.

        Args:
            quarantined: That, and where more is added.
            bounds: The bounds on compiling. What has passed a lower one may try again.
        """
        self._quarantined = quarantined
        self._bounds = bounds

    def check_plan(self, plan_id: str) -> None:
        """Raises QuarantinedError if the plan is refused."""
        entry = self._quarantined.find(plan_id)
        if entry is not None:
            raise _error("the program has brought this server down", entry, entry.reason)

    def check_compile(self, plan_id: str, bucket: int) -> None:
        """Raises what the compile is refused with, if it is.

        Raises:
            LimitExceededError: it has passed a bound.
            QuarantinedError: it has brought compilers down.
        """
        entry = self._quarantined.find(_name(plan_id, bucket))
        if entry is None:
            return
        limit, _, allowed = entry.reason.partition("=")
        if not allowed:
            cause = entry.reason.removeprefix(_COMPILING)
            raise _error("compiling the program has brought compilers down", entry, cause)
        if float(allowed) < self._bounds.get(limit, 0.0):
            return
        raise LimitExceededError(
            f"`{limit}` is {allowed} on this server, and compiling took more; the program is "
            f"refused for another {_seconds(entry)} s",
            metadata={"limit": limit, "allowed": allowed, "got": "more"},
        )

    def note_failure(self, plan_id: str, bucket: int, error: GradwireError) -> None:
        """Refuses a compile from now on, if it has failed with such an error."""
        if isinstance(error, QuarantinedError):
            reason = _COMPILING + error.metadata["cause"]
        elif error.metadata.get("limit", "").startswith(_BOUNDS):
            reason = f"{error.metadata['limit']}={error.metadata['allowed']}"
        else:
            return
        self._quarantined.add(_name(plan_id, bucket), reason)


def _name(plan_id: str, bucket: int) -> str:
    return f"{plan_id}/compile" + ("" if bucket == NO_BATCH else f"-{bucket}")


def _error(what: str, entry: Entry, cause: str) -> QuarantinedError:
    return QuarantinedError(
        f"{what} ({cause}); it is refused for another {_seconds(entry)} s",
        metadata={"cause": cause},
    )


def _seconds(entry: Entry) -> str:
    return f"{entry.until - time.time():.0f}"
