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


_NOT_TRANSPOSED = "PyTorch's own derivatives in the two directions differ; ours agree with reverse"
_KINK = "a choice: ours are 0 to first order and NaN to second where a norm has no derivative"

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "cholesky_inverse", "jvp", {"float64": (2, 3, 4), "complex128": (1, 2)}, _NOT_TRANSPOSED
    ),
    Difference("logcumsumexp", "jvp", {"float64": (1,)}, _NOT_TRANSPOSED),
    *(
        Difference(
            "nn.functional.hardsigmoid",
            what,
            {"float64": (0,)},
            "PyTorch's slope in double precision is 1/6 rounded to single",
        )
        for what in ("jvp", "vjp")
    ),
    *(
        Difference("linalg.norm|subgradients_at_zero", what, {"float64": (sample,)}, _KINK)
        for what, sample in (
            ("jvp", 3),
            ("vjp", 3),
            ("forward over reverse", 1),
            ("reverse over reverse", 1),
        )
    ),
)
