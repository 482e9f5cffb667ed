"""A server of the load test's own, on loopback, which ends with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from types import TracebackType
from typing import Self


class OwnServer:
    """A server process. It ends when the block does, or when this process dies.

    Attributes:
        address: Where it listens.
        metrics_url: Where its metrics are.
    """

    def __init__(self, cores: frozenset[int], flags: Sequence[str] = ()) -> None:
        """Starts it, and waits until it takes calls.

        Args:
            cores: Those that it may use.
            flags: More flags for it.
        """
        ours = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)  # which a child inherits
        try:
            command = [sys.executable, "-P", "-m", "gradwire_server", "--embedded"]
            command += ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", *flags]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        finally:
            os.sched_setaffinity(0, ours)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the server did not start; its reason is above")
        answer = json.loads(line)
        self.address: str = answer["listening"]
        self.metrics_url: str = answer["metrics"] + "/metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._process.communicate(timeout=60.0)  # the end of stdin ends it
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def served_calls(metrics_url: str) -> float:
    """Returns how many Computes a server has finished well, by its own count."""
    with urllib.request.urlopen(metrics_url, timeout=10.0) as page:
        lines = page.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("gradwire_calls_total{")
        and 'method="Compute"' in line
        and 'status="OK"' in line
    )
