"""What a measurement leaves: a table on stdout, JSON, CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest.knee import Knee
from loadtest.points import Point

_HEAD = (
    f"{'offered/s':>10}{'goodput/s':>10}{'served/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'p99.9':>9}"
    f"{'refused':>9}{'late':>7}{'errors':>7}{'retries':>8}{'lag ms':>8}{'busy':>6}  client"
)


@dataclass
class Measurement:
    """Everything that was found.

    Attributes:
        machine: What it was found on.
        setup: How.
        points: At each rate, in the order in which they were taken.
        knee: The knee; None while it isn't known.
        searched: How many of the points were taken to find it.
    """

    machine: dict[str, Any]
    setup: dict[str, Any]
    points: list[Point] = field(default_factory=list)
    knee: Knee | None = None
    searched: int = 0

    @property
    def peak(self) -> float:
        """The highest goodput of any valid point."""
        return max((point.goodput for point in self.points if point.valid), default=0.0)

    def past_the_knee(self, client: str) -> Point | None:
        """Returns the point of the highest rate that a kind of client has offered."""
        found = [point for point in self.points if point.client == client]
        return max(found, key=lambda point: point.offered, default=None)

    def caption(self) -> str:
        """Says in words what a picture of it must say."""
        machine, setup = self.machine, self.setup
        return (
            f"{machine['processor']}, {machine['cores']} cores; {setup['where']}; "
            f"mix '{setup['mix']}', deadline {setup['deadline']:g} s; "
            f"gradwire {machine['gradwire']}, JAX {machine['jax']}, gRPC {machine['grpcio']}, "
            f"Python {machine['python']}"
        )

    def write(self, folder: Path) -> None:
        """Writes knee.json and knee.csv."""
        rows = [point.as_dict() for point in self.points]
        content = {
            "machine": self.machine,
            "setup": self.setup,
            "knee": None if self.knee is None else self.knee.rate,
            "peak_goodput": self.peak,
            "points": rows,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "knee.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        with (folder / "knee.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def print_head() -> None:
    """Prints the head of the table."""
    print(_HEAD, flush=True)


def print_point(point: Point) -> None:
    """Prints one line of the table."""
    served = f"{point.served:10.0f}" if point.served >= 0 else f"{'-':>10}"
    shares = "".join(f"{100 * share:{width}.1f}%" for share, width in _shares(point))
    print(
        f"{point.offered:10.0f}{point.goodput:10.0f}{served}"
        f"{1e3 * point.p50:9.1f}{1e3 * point.p99:9.1f}{1e3 * point.p999:9.1f}"
        f"{shares}{point.retries:8.2f}{1e3 * point.lag:8.1f}{point.busy:6.2f}  {point.client}"
        + ("" if point.valid else "  (invalid: the generator lagged)"),
        flush=True,
    )


def _shares(point: Point) -> Iterable[tuple[float, int]]:
    return (point.refused, 8), (point.late, 6), (point.failed, 6)
