"""Where gradwire and PyTorch differ, and why. What differs otherwise, or no longer, fails."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One quantity of one operator.

    Attributes:
        name: The operator's name in OpInfo.
        what: The quantity: value, jvp, vjp, a second derivative, or refused.
        samples: The numbers of the samples that differ, by dtype.
        reason: Why that is no fault of gradwire's.
    """

    name: str
    what: str
    samples: dict[str, tuple[int, ...]]
    reason: str


DIFFERENCES: tuple[Difference, ...] = ()
