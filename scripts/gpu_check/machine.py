"""What the checks know of this machine, and how they run programs that import JAX."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LAST_BEGIN_SECONDS = 360
"""After that no further check is begun."""
END_SECONDS = 420
"""Then the one that is being made has failed, so that all is over within eight minutes."""

_WORK_SECONDS = 150.0
_SCRIPTS = Path(__file__).resolve().parent.parent
_LAST_CHARS = 600


class WorkError(Exception):
    """A process has failed; the message has the end of what it wrote."""


@dataclass
class Machine:
    """This machine, and this run.

    Attributes:
        folder: Where the checks may write.
        platform: What JAX is to find: ``any``, ``cpu`` or ``gpu``.
        quick: Whether only a part is checked.
        device: What JAX has found, see ``workers.describe_device``.
        used_bytes: What was used of the device's memory before; 0 if unknown.
        start: When the run began.
    """

    folder: Path
    platform: str
    quick: bool
    device: dict[str, Any] = field(default_factory=dict)
    used_bytes: int = 0
    start: float = field(default_factory=time.monotonic)

    @property
    def has_gpu(self) -> bool:
        """Whether JAX has found one."""
        return self.device.get("platform") == "gpu"

    @property
    def is_late(self) -> bool:
        """Whether no further check is to begin."""
        return time.monotonic() - self.start > LAST_BEGIN_SECONDS

    def work(self, module: str, *words: str) -> dict[str, Any]:
        """Runs a module of this package as a process; returns what it prints as JSON.

        It takes no more of the device's memory than it needs.

        Raises:
            WorkError: it has failed, or has taken too long.
        """
        path = os.pathsep.join(filter(None, [str(_SCRIPTS), os.environ.get("PYTHONPATH", "")]))
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
        command = [sys.executable, "-m", f"gpu_check.{module}", *words]
        try:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=_WORK_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise WorkError(f"`{' '.join(words)}` took over {_WORK_SECONDS:g} s") from error
        if done.returncode:
            text = " ".join(done.stderr.split())[-_LAST_CHARS:]
            raise WorkError(f"`{' '.join(words)}` ended with status {done.returncode}: {text}")
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result
