"""What is refused for a time, by which error: plans, single compiles, and the check of programs.

What compilers do is refused where it has passed a bound or brought them down. It is kept in
the quarantine, where the reason is all that is known of the error.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from gradwire.errors import GradwireError, LimitExceededError, QuarantinedError
from gradwire_server.process.quarantine import Entry, QuarantinedPlans
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.serving.plan import ID_LENGTH

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

    def check(self, name: str) -> None:
        """Raises what the compile or check of this name is refused with, if it is.

        Raises:
            LimitExceededError: it has passed a bound.
            QuarantinedError: it has brought compilers down.
        """
        entry = self._quarantined.find(name)
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

    @contextmanager
    def kept(self, name: str) -> Iterator[None]:
        """Raises what ``check`` does, or else notes how the block fails; see ``note_failure``."""
        self.check(name)
        try:
            yield
        except GradwireError as error:
            self.note_failure(name, error)
            raise

    def note_failure(self, name: str, error: GradwireError) -> None:
        """Refuses a compile or check from now on, if it has failed with such an error."""
        if isinstance(error, QuarantinedError):
            reason = _COMPILING + error.metadata["cause"]
        elif error.metadata.get("limit", "").startswith(_BOUNDS):
            reason = f"{error.metadata['limit']}={error.metadata['allowed']}"
        else:
            return
        self._quarantined.add(name, reason)


def name_of_compile(plan_id: str, bucket: int) -> str:
    """Returns the name of a compile: of a plan, for a batch of so many rows or for none."""
    return f"{plan_id}/compile" + ("" if bucket == NO_BATCH else f"-{bucket}")


def name_of_check(program: bytes) -> str:
    """Returns the name of the check of a program, of which no plan is known before."""
    return f"{hashlib.sha256(program).hexdigest()[:ID_LENGTH]}/check"


def _error(what: str, entry: Entry, cause: str) -> QuarantinedError:
    return QuarantinedError(
        f"{what} ({cause}); it is refused for another {_seconds(entry)} s",
        metadata={"cause": cause},
    )


def _seconds(entry: Entry) -> str:
    return f"{entry.until - time.time():.0f}"
