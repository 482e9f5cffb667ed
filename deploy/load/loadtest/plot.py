"""The picture of a measurement: latency and calls answered in time against calls offered."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # draws into files alone

import matplotlib.pyplot as plt

from loadtest.points import Point
from loadtest.report import Measurement

_COLOURS = {"bare": "#1f6fb4", "gradwire": "#c8501e"}
_LABELS = {"bare": "clients that never retry", "gradwire": "gradwire's client"}


def draw(measurement: Measurement, path: Path) -> None:
    """Draws a measurement into a PNG file."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.1))
    # The points of the search are close to each other, and would make a zigzag.
    taken = measurement.points[measurement.searched :]
    points = sorted((p for p in taken if p.valid), key=lambda p: p.offered)
    bare = [point for point in points if point.client == "bare"]
    _draw_latency(left, bare)
    _draw_goodput(right, points, measurement)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
        axes.set_xlabel("offered calls per second")
        axes.grid(alpha=0.25)
        _mark_knee(axes, measurement)
    figure.text(
        0.01, 0.01, "\n".join(textwrap.wrap(measurement.caption(), 150)), fontsize=6.5, color="0.35"
    )
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_latency(axes: Any, points: list[Point]) -> None:
    offered = [point.offered for point in points]
    for name, label, style in (
        ("p50", "p50", "-o"),
        ("p99", "p99", "--s"),
        ("p999", "p99.9", ":^"),
    ):
        values = [1e3 * getattr(point, name) for point in points]
        axes.plot(offered, values, style, color=_COLOURS["bare"], label=label, markersize=3)
    if points:
        axes.axhline(1e3 * points[0].deadline, color="0.5", linewidth=0.8)
        axes.annotate("deadline", (offered[0], 1e3 * points[0].deadline), va="bottom", color="0.4")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
    axes.set_title("latency of calls that were not refused, ms", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="lower right")


def _draw_goodput(axes: Any, points: list[Point], measurement: Measurement) -> None:
    peak = measurement.peak
    for client, label in _LABELS.items():
        some = [point for point in points if point.client == client]
        axes.plot(
            [point.offered for point in some],
            [point.goodput for point in some],
            "-o",
            color=_COLOURS[client],
            label=f"right and in time, {label}",
            markersize=3,
        )
    counted = [point for point in points if point.client == "bare" and point.served >= 0]
    axes.plot(
        [point.offered for point in counted],
        [point.served for point in counted],
        "--",
        color="0.6",
        label="computed by the server",
        linewidth=1,
    )
    axes.axhline(0.7 * peak, color="0.5", linewidth=0.8)
    axes.annotate("70 % of the peak", (1, 0.7 * peak), xycoords=("axes fraction", "data"),
                  ha="right", va="top", color="0.4")  # fmt: skip
    axes.set_ylim(0, 1.15 * peak or 1.0)
    axes.set_title("calls answered per second", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="lower right")


def _mark_knee(axes: Any, measurement: Measurement) -> None:
    if measurement.knee is None or not measurement.knee.rate:
        return
    for factor, label in ((1, "knee"), (5, "5 ×")):
        rate = factor * measurement.knee.rate
        axes.axvline(rate, color="0.5", linewidth=0.8, linestyle=":")
        axes.annotate(label, (rate, 1.0), xycoords=("data", "axes fraction"),
                      ha="right", va="top", rotation=90, color="0.4")  # fmt: skip
