"""Supervisors as processes, with tiny programs in place of servers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from server_process import eventually

# What it is told by its caller is in files of its folder, and what happens goes to another.
SUPERVISOR = """
import ctypes, json, logging, os, sys
from pathlib import Path
from gradwire_server.process import supervisor
from gradwire_server.process.background_log import BackgroundLog

options = json.loads(sys.argv[1])
folder = Path(options["folder"])
for name, value in options["constants"].items():
    setattr(supervisor, name, value)
if options["adopts"]:
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, as process 1 is

def note(*event):
    with open(folder / "events", "a") as file:
        print(json.dumps(event), file=file)

class Servers:
    def command(self, addresses, restarts):
        note("start", None if addresses is None else [addresses.listening, addresses.metrics])
        script = options["scripts"][min(restarts, len(options["scripts"]) - 1)]
        return supervisor.Command([sys.executable, "-c", script, str(folder)], os.environ)

    def overstay(self):
        return "it overstays" if (folder / "overstay").exists() else ""

    def note_death(self, code):
        (folder / "overstay").unlink(missing_ok=True)
        note("death", code)
        return (folder / "found").exists()

logging.basicConfig(format="%(message)s")
log = BackgroundLog(logging.getLogger("gradwire_server"))
status = supervisor.Supervisor(Servers(), options["stop_seconds"], log).run()
log.wait(5)
sys.exit(status)
"""

SERVER = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
folder = Path(sys.argv[1])

def listen(address="host:1"):
    (folder / "pid").write_text(str(os.getpid()))
    print(json.dumps({"listening": address, "metrics": None}), flush=True)

def wait():  # until the supervisor has gone
    while os.read(0, 4096):
        pass

def crash():
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Supervised:
    """The process of a supervisor, and what it has noted."""

    def __init__(self, folder: Path, scripts: tuple[str, ...], **options: Any) -> None:
        self.folder = folder
        values = {"folder": str(folder), "scripts": scripts, "stop_seconds": 30.0,
                  "constants": {}, "adopts": False, **options}  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, json.dumps(values)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def events(self, kind: str) -> list[Any]:
        """What has happened of this kind so far."""
        path = self.folder / "events"
        lines = path.read_text().splitlines() if path.exists() else []
        return [value for name, value in map(json.loads, lines) if name == kind]

    def pid(self) -> int:
        """The id of the server that listens."""
        assert eventually(lambda: bool(self.file("pid")), 30)
        return int(self.file("pid"))

    def file(self, name: str) -> str:
        """What a file of the folder holds; empty if it isn't there."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def wait_until_ready(self) -> dict[str, Any]:
        """Waits for the first line on stdout."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> tuple[int, str, str]:
        """Waits for its end; returns the exit status and what else it has written."""
        output, log = self.process.communicate(timeout=30)
        return self.process.returncode, output, log
